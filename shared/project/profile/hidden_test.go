package profile

import (
	"strings"
	"testing"
)

func TestHasPipeline(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]bool{
		"xcodebuild | xcpretty": true, "a |& b": true, "a\nb | c": true, "a || b | c": true, `echo "x" | cat`: true, "a|b": true, "a 2>&1|b": true,
		"a || b": false, "a ||b||c": false, "a||\nb": false, "echo 'a | b'": false, `echo "a | b"`: false, `echo a \| b`: false, "a >| f": false, "": false,

		// Quotes: what they hold, what follows them, and what runs inside of them.
		`echo "a \" | b"`: false, `echo "it's" | cat`: true, `echo 'say "' | cat`: true, `grep -E "a|b" f`: false, `sed 's|a|b|' f`: false, `sed -e "s|a|b|g"`: false,
		`echo $'it\'s a | b'`: true, // /bin/sh knows no $'…'; where it does this warning is too much
		`x="$(a | b)"`:        true, `x="$(a || b)"`: false, `x="$(echo 'a | b')"`: false, `x="$(grep "a|b" f)" | cat`: true, "x=\"`a | b`\"": true, "x=`a || b`": false,
		`x=$(a | b)`: true, `echo "$((1 | 2))"`: false, `x=$((1 | 2))`: false, `x=${y:-a|b}`: false, `echo "${y%|*}"`: false, `echo "${y:-$(a | b)}"`: true,

		// Comments.
		"a # b | c": false, "# a | b": false, "a\n# b | c\nd": false, "a # it's\nb | c": true, "a;# b | c": false, "a && # b | c\nd": false, "(# b | c\na)": false,
		"a|#x\nb": true, "a &&# b | c\nd": false,
		"echo a#b | cat": true, "echo ${#x} | cat": true, `echo \# | cat`: true, `echo "a"# | cat`: true,

		// Patterns of case.
		"case $x in\n  ios|android) a;;\nesac":                   false,
		"case $x in (ios|android) a;; esac":                      false,
		`case "$x" in ios | android ) a ;; *) b ;; esac`:         false,
		"case $x in a) b | c;; esac":                             true,
		"case $x in a|b) c;; d|e) f | g;; esac":                  true,
		"case $x in a|b) c;; esac\nd | e":                        true,
		"case $x in a) case $y in b|c) d;; esac;; e|f) g;; esac": false,
		"case $x in a) case $y in b|c) d;; esac | e;; esac":      true,
		"case $x in a) (b); c=$(d);; e|f) g;; esac":              false,
		"case $x in a) (b | c);; esac":                           true,
		"case $x in a|b) echo in case;; c|d) e;; esac":           false,
		"case `uname` in Darwin|Linux) a;; esac":                 false,
		"case $(a | b) in c) d;; esac":                           true,
		"case x in esac | a":                                     true,
		"if a; then case $x in b|c) d; esac; fi":                 false,
		"echo case x in a | b":                                   true,
		"case $x in # a | b\n  c|d) e;; # f | g\n esac":          false,
		"case $x in a|b) c;& d|e) f;;& g|h) i;; esac":            false,
		"f() { case $1 in a|b) return 0;; esac; }\nf a":          false,
		"for i in a b; do case $i in a|b) c;; esac; done | d":    true,
		"case $x in 'a|b'|c) d;; esac":                           false,
		"case $x in a|\\\nb) c;; esac":                           false,
		"x=$(case $y in a|b) c;; esac)":                          false,
		"x=$(case $y in (a|b) c;; esac) && d":                    false,

		// Here-documents are text.
		"cat > f <<EOF\na | b\nEOF": false, "cat > f <<'EOF'\na | b\nit's\nEOF\nc | d": true, "cat <<-EOF | sort\nx\nEOF": true, "cat <<-\"EOF\"\n\ta | b\n\tEOF\n": false,
		"cat <<A <<B\na | b\nA\nc | d\nB\n": false, "echo $((1<<2)) | cat": true, "cat <<EOF\n$(a | b)\nEOF": false,
		"[[ $x =~ a|b ]] && c": true, // a condition of bash; /bin/sh takes it for a pipeline
	} {
		if got := hasPipeline(script); got != want {
			t.Errorf("hasPipeline(%q) = %v, want %v", script, got, want)
		}
	}
}

func TestHiddenFailures(t *testing.T) {
	t.Parallel()
	stages := []Stage{{Name: "make", Run: "make | tee log"}, {Name: "test", Run: "make test || case $x in a|b) exit 1;; esac"}}
	const with, without = true, false
	if got := HiddenFailures(Sh, stages, with); len(got) != 1 {
		t.Errorf("warnings = %q, want one", got)
	}
	if got := HiddenFailures(Bash, stages, without); len(got) != 0 {
		t.Errorf("with pipefail the warnings are %q", got)
	}
	if got := HiddenFailures(BashIfPresent, stages, with); len(got) != 0 {
		t.Errorf("by default the warnings are %q", got)
	}
	if got := HiddenFailures(BashIfPresent, stages, without); len(got) != 1 || !strings.Contains(got[0], "Install bash") {
		t.Errorf("without bash the warnings are %q, want one", got)
	}
}

// FuzzHasPipeline: whatever a stage holds, looking at it ends.
func FuzzHasPipeline(f *testing.F) {
	f.Add("case $x in a|b) \"$(c | d)\";; esac <<E\nE\n")
	f.Add("`\"${x:-'}\"`$((")
	f.Fuzz(func(_ *testing.T, script string) { hasPipeline(script) })
}
