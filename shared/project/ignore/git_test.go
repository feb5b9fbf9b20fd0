package ignore_test

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/project/ignore"
)

// repository is a directory that git can be asked about.
type repository struct {
	t   *testing.T
	dir string
}

func newRepository(t *testing.T, files []string) repository {
	t.Helper()
	r := repository{t, t.TempDir()}
	for _, f := range files {
		r.write(f, "x")
	}
	r.git("init", "--quiet")
	return r
}

func (r repository) write(name, content string) {
	r.t.Helper()
	file := filepath.Join(r.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r repository) git(args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "XDG_CONFIG_HOME="+r.dir)
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("git %v: %v", args, err)
	}
	return string(out)
}

// byGit lists the files that git does not ignore.
func (r repository) byGit(ignoreCase bool) []string {
	names := []string{}
	out := r.git("-c", "core.ignoreCase="+strconv.FormatBool(ignoreCase), "ls-files", "-z", "--others", "--exclude-standard")
	for name := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		if name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// byMatcher lists the files that the matcher does not ignore.
func (r repository) byMatcher(fold bool) []string {
	names := []string{}
	r.walk("", ignore.Git{}, fold, &names)
	slices.Sort(names)
	return names
}

func (r repository) walk(dir string, rules ignore.Git, fold bool, names *[]string) {
	if data, err := os.ReadFile(filepath.Join(r.dir, dir, ".gitignore")); err == nil {
		rules = rules.With(ignore.ParseList(dir, data, fold))
	}
	entries, err := os.ReadDir(filepath.Join(r.dir, dir))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case e.Name() == ".git" || rules.Ignores(name, e.IsDir()):
		case e.IsDir():
			r.walk(name, rules, fold, names)
		case e.Type() == 0 || e.Type() == fs.ModeSymlink:
			*names = append(*names, name)
		}
	}
}

func (r repository) compare(rules map[string]string) {
	r.t.Helper()
	for name, content := range rules {
		r.write(name, content)
	}
	for _, fold := range []bool{false, true} {
		if diff := cmp.Diff(r.byGit(fold), r.byMatcher(fold)); diff != "" {
			r.t.Errorf("rules %q, ignoring case: %v (-git +matcher):\n%s", rules, fold, diff)
		}
	}
}

// trees are names that patterns of the tests speak of.
var trees = []string{
	"a", "b", "ab", "abc", "A", "B.txt", "a.txt", "b.log", "keep.log", "x y", "x ", "-", "]", "!a", "#a", `a\b`, "*", "[a]", "ä", "q1.txt", "d]",
	"c/a", "c/b", "c/ab", "c/keep", "c/b.log", "c/c/a", "c/c/b.txt", "c/c/c/a", "c/c/c/c/a.txt", "c/d/e/f", "c/A/b", "d/.x", "d/..y",
	"build/out", "build/keep", "src/build/out", "src/a/b/c.log", "lib/A.TXT", "Lib2/keep", "foo/x/bar", "foo/bar", "foobar", "foox/bar", "fox/y/bar/z",
	".yarn/cache/a.zip", ".yarn/releases/yarn.cjs", "docs/api/x", "src/docs/api/y", "(tabs)/x", "lib+x", "na.md", "nz.md", "n[.md",
}

func TestListIsGits(t *testing.T) {
	t.Parallel()
	for _, rules := range []string{
		".yarn/*\n!.yarn/releases\n", "docs/api\n", "q?.txt\nn[!a-c].md\nlib+x\n(tabs)\n", "n[^a-c].md", "*.log\n!keep.log\n/src\n",
		"build/\n", "/build/\n!build/keep\n", "**/build\n", "c/**\n!c/keep\n", "c/**/a\n", "**/c/**/a*\n", "c/*/a\n", "*/a\n", "a**\n", "/a**\n", "/foo**/bar\n",
		"foo**bar", "/foo**bar", "c/***\n", "***/a", `\!a`, `\#a`, "#a", "!a", `x\ `, "x ", "x  \\ ", "x y", `a\\b`, `\*`, `\a`, `a\`, `[a`, `[]]`, `[!]]`, `[]-a]`, `[--0]`,
		"[a-c]", "[A-C]*", "[[:alpha:]]", "[[:upper:]]*", "[[:nope:]]", "[[:alpha]", "[[::]]", "[:alpha:]", `[\]]`, `d[\]]`, "n[[].md", "/", "//", "a/", "!", "", "\ufeffa\n", "\ufeff#a\nb",
		"a\r\nb\r\n", "a\r", " a", "\t", "ä", "?", "??", "[ä]", "*/", "*/*/", "/*\n!/c\n", "/*\n!/c\n/c/*\n!/c/c\n", "c/c\n!c/c/a", "**", "/**", "**/", "c/**/", "**/**/a", "c/**/**/a", `c/**\/a`, "c//a", "./a", "c/./a",
		"*.[tT][xX][tT]", "L*/*", "lib*/**/k*", "*a*b*", "*b*o*", "c*/", "c/?", "c?a", "c[/]a", "c/[!b]", "[!/]", "[a-z", "[z-a]", "*[", "**a/b", "c/**a",
	} {
		t.Run(rules, func(t *testing.T) {
			t.Parallel()
			newRepository(t, trees).compare(map[string]string{".gitignore": rules})
		})
	}
}

// TestListIsGitsAtRandom holds the matcher against git with random rules in three directories.
func TestListIsGitsAtRandom(t *testing.T) {
	t.Parallel()
	const rounds, parts = 160, 4
	for part := range parts {
		t.Run(strconv.Itoa(part), func(t *testing.T) {
			t.Parallel()
			r := newRepository(t, trees)
			random := rand.New(rand.NewPCG(12, uint64(part)))
			for range rounds / parts {
				if t.Failed() {
					return // one difference is enough to read
				}
				r.compare(map[string]string{
					".gitignore": randomRules(random, 5), "c/.gitignore": randomRules(random, 2), "c/c/.gitignore": randomRules(random, 2), "src/.gitignore": randomRules(random, 1),
				})
			}
		})
	}
}

func randomRules(r *rand.Rand, most int) string {
	pieces := []string{
		"a", "b", "c", "d", "A", ".log", ".txt", "keep", "build", "src", "foo", "bar", "x", " ", "*", "*", "*", "**", "**/", "/**", "/", "/", "?", "[a-c]", "[!a]", "[^b]", "[[:alpha:]]",
		"[]", "]", "-", `\`, "ä", ".", "c/", "!", "[A-C]", "[a", "lib",
	}
	var b strings.Builder
	for range r.IntN(most + 1) {
		if r.IntN(4) == 0 {
			b.WriteString("!")
		}
		if r.IntN(3) == 0 {
			b.WriteString("/")
		}
		for range 1 + r.IntN(4) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		if r.IntN(4) == 0 {
			b.WriteString("/")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// FuzzList tries patterns of any bytes: the matcher must end, whatever they are, and a pattern that
// git escapes must match its own text.
func FuzzList(f *testing.F) {
	f.Add("*a*[b-c]/**/?", "x/a/b/c")
	f.Add("[[:alpha:]]\\", "a")
	f.Fuzz(func(t *testing.T, rules, name string) {
		for _, fold := range []bool{false, true} {
			ignore.Git{}.With(ignore.ParseList("", []byte(rules), fold)).Ignores(name, false)
		}
		if name = path.Clean(name); name == "." || name[0] == '/' || strings.ContainsAny(name, "\n\r\x00") {
			return
		}
		var escaped strings.Builder
		for i := range len(name) {
			if strings.IndexByte(`*?[\ !#`, name[i]) >= 0 {
				escaped.WriteByte('\\')
			}
			escaped.WriteByte(name[i])
		}
		if (ignore.ParseList("", []byte("/"+escaped.String()), false)).Match(name, false) != ignore.Ignored {
			t.Errorf("%q does not match itself, escaped as %q", name, escaped.String())
		}
	})
}
