package ignore

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// jsSpace is what \s matches in JavaScript.
const jsSpace = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"

// onlyGo are letters that regexp2 gives a meaning after a backslash and JavaScript does not.
const onlyGo = "aeghijklmopqyzACEFGHIJKLMNOPQRTUVXYZ"

// replacer is one of the steps by which the package turns a pattern into a regular expression. The
// steps work on each other's output, and the quirks of the dialect are in their order.
type replacer struct {
	find    *regexp2.Regexp
	replace func(m regexp2.Match, source, pattern string) string
}

func step(find string, replace func(m regexp2.Match, source, pattern string) string) replacer {
	return replacer{regexp2.MustCompile(find, regexp2.None), replace}
}

func constant(text string) func(regexp2.Match, string, string) string {
	return func(regexp2.Match, string, string) string { return text }
}

var replacers = []replacer{ //nolint:gochecknoglobals // a constant table
	// Spaces at the end, unless one is quoted; then quoted ones elsewhere.
	step(`\\?[`+jsSpace+`]+\z`, func(m regexp2.Match, _, _ string) string {
		if strings.HasPrefix(m.String(), `\`) {
			return " "
		}
		return ""
	}),
	step(`\\[`+jsSpace+`]`, constant(" ")),
	// What regular expressions would take for theirs.
	step(`[\\$.|*+(){^]`, func(m regexp2.Match, _, _ string) string { return `\` + m.String() }),
	step(`\?`, constant("[^/]")),
	step(`\A/`, constant("^")),
	step(`/`, constant(`\/`)),
	step(`\A\^*\\\*\\\*\\/`, constant(`^(?:.*\/)?`)),
	step(`\A(?=[^^])`, func(_ regexp2.Match, _, pattern string) string {
		if strings.Contains(strings.TrimSuffix(pattern, "/"), "/") {
			return "^"
		}
		return `(?:^|\/)`
	}),
	step(`\\/\\\*\\\*(?=\\/|\z)`, func(m regexp2.Match, source, _ string) string {
		if m.Index+len(`\/\*\*`) < utf8.RuneCountInString(source) {
			return `(?:\/[^\/]+)*`
		}
		return `\/.+`
	}),
	step(`(\A|[^\\]+)(\\\*)+(?=[^\n\r\u2028\u2029]+)`, func(m regexp2.Match, _, _ string) string {
		// JavaScript's group holds the last of several asterisks only.
		return m.GroupByNumber(1).String() + `[^\/]*`
	}),
	step(`\\\\\\(?=[$.|*+(){^])`, constant(`\`)),
	step(`\\\\`, constant(`\`)),
	step(`(\\)?\[([^\]/]*?)(\\*)(\z|\])`, replaceClass),
	step(`[^*]\z`, func(m regexp2.Match, _, _ string) string {
		if m.String() == "/" {
			return "/$"
		}
		return m.String() + `(?=$|\/$)`
	}),
	step(`(\^|\\/)?\\\*\z`, func(m regexp2.Match, _, _ string) string {
		prefix := "[^/]*"
		if g := m.GroupByNumber(1); len(g.Captures) > 0 {
			prefix = g.String() + "[^/]+"
		}
		return prefix + `(?=$|\/$)`
	}),
	// The rest is ours. Without a letter after it, \c is two characters in JavaScript.
	step(`\\(c(?![a-zA-Z])|[\s\S])`, func(m regexp2.Match, _, _ string) string {
		if m.String() == `\c` {
			return `\\c`
		}
		if letter := m.GroupByNumber(1).String(); strings.Contains(onlyGo, letter) {
			return letter
		}
		return m.String()
	}),
}

// replaceClass keeps a class such as [a-c], without ranges in the wrong order. One without an end
// becomes [], which matches nothing.
func replaceClass(m regexp2.Match, _, _ string) string {
	content, slashes, end := m.GroupByNumber(2).String(), m.GroupByNumber(3).String(), m.GroupByNumber(4).String()
	switch {
	case len(m.GroupByNumber(1).Captures) > 0:
		return `\[` + content + slashes[:len(slashes)-len(slashes)%2] + end
	case end == "]" && len(slashes)%2 == 0:
		return "[" + dropReversed(content) + slashes + "]"
	}
	return "[]"
}

// dropReversed removes ranges such as z-a.
func dropReversed(content string) string {
	var out strings.Builder
	for i := 0; i < len(content); i++ {
		if i+2 < len(content) && content[i+1] == '-' && isRangeEnd(content[i]) && isRangeEnd(content[i+2]) {
			if content[i] <= content[i+2] {
				out.WriteString(content[i : i+3])
			}
			i += 2
			continue
		}
		out.WriteByte(content[i])
	}
	return out.String()
}

func isRangeEnd(b byte) bool { return '0' <= b && b <= 'z' }

// compileNPM applies the steps and compiles the result as JavaScript would.
func compileNPM(pattern string) (*regexp2.Regexp, error) {
	source := pattern
	for _, r := range replacers {
		before := source
		var err error
		source, err = r.find.ReplaceFunc(before, func(m regexp2.Match) string { return r.replace(m, before, pattern) }, -1, -1)
		if err != nil {
			return nil, fmt.Errorf("read the rule: %w", err)
		}
	}
	re, err := regexp2.Compile(source, regexp2.ECMAScript|regexp2.IgnoreCase)
	if err != nil {
		return nil, fmt.Errorf("the rule is not valid: %w", err)
	}
	re.MatchTimeout = matchTimeout
	return re, nil
}
