package failure

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// entry is a rule as the tables have it.
type entry struct {
	id string
	// has are literals of at least 4 bytes; a line without any of them is not looked at. They are
	// case-sensitive.
	has []string
	// match is the expression of the line that names the cause.
	match string
	// before is an expression for the lines before, the nearest first.
	before string
	// more are expressions for the lines that follow, up to a line that until matches. The first
	// match sets a group, each match sets a group whose name begins with "last".
	more  []string
	until string
	// need is a group without which the rule does not hold.
	need string
	// cause, where and cure are templates: {group} is replaced, and a part in brackets is left out if
	// one of its groups is empty.
	cause, where, cure string
	rank               int
	blame              Blame
	elsewhere          bool
}

// The ranks. A precise cause ranks above the summary of a tool around it.
const (
	rankMachine = 100
	rankPlace   = 90 // an error with file and line
	rankCause   = 80 // a tool's precise message
	rankNetwork = 70
	rankSummary = 60 // the summary of a build tool
	rankPlain   = 40 // an exception's own words
	rankWrapper = 20 // "command failed"
)

// rule is a compiled entry.
type rule struct {
	entry
	match, before, until *regexp.Regexp
	more                 []*regexp.Regexp
}

// ruleSet finds the rules that a line may match. Four bytes decide whether a literal could begin at a
// place, which nearly always they do not.
type ruleSet struct {
	rules    []*rule
	grams    [1 << 16 / 64]uint64
	literals map[uint32][]literal
}

type literal struct {
	text string
	rule *rule
}

// catalogue compiles the tables once.
var catalogue = sync.OnceValue(func() *ruleSet { //nolint:gochecknoglobals // a constant
	s := &ruleSet{literals: map[uint32][]literal{}}
	for _, e := range slices.Concat(machineRules, networkRules, npmRules, yarnRules, pnpmRules, bunRules, nodeRules, metroRules, expoRules,
		gradleRules, javaRules, podRules, xcodeRules, signingRules) {
		r := &rule{entry: e, match: regexp.MustCompile(e.match)}
		for _, m := range e.more {
			r.more = append(r.more, regexp.MustCompile(m))
		}
		if e.until != "" {
			r.until = regexp.MustCompile(e.until)
		}
		if e.before != "" {
			r.before = regexp.MustCompile(e.before)
		}
		s.rules = append(s.rules, r)
		for _, text := range e.has {
			s.add(literal{text, r})
		}
	}
	return s
})

func (s *ruleSet) add(l literal) {
	if len(l.text) < 4 {
		panic(fmt.Sprintf("rule %s: literal %q is too short", l.rule.id, l.text))
	}
	g := uint32(l.text[0]) | uint32(l.text[1])<<8 | uint32(l.text[2])<<16 | uint32(l.text[3])<<24
	s.literals[g] = append(s.literals[g], l)
	h := hashGram(g)
	s.grams[h>>6] |= 1 << (h & 63)
}

// hashGram returns 16 bits.
func hashGram(g uint32) uint32 { return g * 0x9E3779B1 >> 16 }

// candidates appends the rules that have a literal in the line, each once.
func (s *ruleSet) candidates(line string, found []*rule) []*rule {
	if len(line) < 4 {
		return found
	}
	g := uint32(line[0])<<8 | uint32(line[1])<<16 | uint32(line[2])<<24
	for i := 3; i < len(line); i++ {
		g = g>>8 | uint32(line[i])<<24
		h := hashGram(g)
		if s.grams[h>>6]&(1<<(h&63)) == 0 {
			continue
		}
		for _, l := range s.literals[g] {
			if strings.HasPrefix(line[i-3:], l.text) && !slices.Contains(found, l.rule) {
				found = append(found, l.rule)
			}
		}
	}
	return found
}

// placeholder is a group's name in a template.
var (
	placeholder = regexp.MustCompile(`\{(\w+)\}`)
	optional    = regexp.MustCompile(`\[[^\[\]]*\{\w+\}[^\[\]]*\]`)
)

// fill returns a template with the groups in it.
func fill(template string, groups map[string]string) string {
	template = optional.ReplaceAllStringFunc(template, func(part string) string {
		for _, m := range placeholder.FindAllStringSubmatch(part, -1) {
			if groups[m[1]] == "" {
				return ""
			}
		}
		return part[1 : len(part)-1]
	})
	return placeholder.ReplaceAllStringFunc(template, func(name string) string { return groups[name[1:len(name)-1]] })
}
