package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// maxWords is the length from which a sentence is worth a second look.
const maxWords = 40

// rule is one phrase that we do not write.
type rule struct {
	pattern *regexp.Regexp
	instead string
	// docs: the rule is for Markdown, doc.go and contracts only, since code may use the word as a name.
	docs bool
}

// readRules reads lines of `docs|all: phrase => what to write instead`. A phrase is a regular expression; a space in it matches any white
// space, and it matches whole words in any case.
func readRules(file string) ([]rule, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var rules []rule
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		scope, rest, _ := strings.Cut(line, ": ")
		phrase, instead, ok := strings.Cut(rest, " => ")
		if !ok || scope != "docs" && scope != "all" {
			return nil, fmt.Errorf("%s:%d: want `docs|all: phrase => what to write instead`", file, i+1)
		}
		pattern, err := regexp.Compile(`(?i)\b(?:` + strings.ReplaceAll(phrase, " ", `\s+`) + `)\b`)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
		rules = append(rules, rule{pattern, instead, scope == "docs"})
	}
	return rules, nil
}

// isDocs says whether a file is read by people who do not read code.
func isDocs(file string) bool {
	return filepath.Ext(file) != ".go" || filepath.Base(file) == "doc.go"
}

func checkRules(file string, text []byte, rules []rule) []finding {
	var found []finding
	for _, r := range rules {
		if r.docs && !isDocs(file) {
			continue
		}
		for _, at := range r.pattern.FindAllIndex(text, -1) {
			words := strings.Join(strings.Fields(string(text[at[0]:at[1]])), " ")
			found = append(found, finding{file, lineOf(text, at[0]), fmt.Sprintf("%q: write %s", words, r.instead)})
		}
	}
	return found
}

func lineOf(text []byte, offset int) int {
	return strings.Count(string(text[:offset]), "\n") + 1
}

var sentenceEnd = regexp.MustCompile(`[.!?:;]["')*]*\s|\n\s*\n|\n\s*(?:[-*|#]|\d+\.) |\|`)

// longSentences finds sentences of more than maxWords words. Code in a sentence counts as one word.
func longSentences(file string, text []byte) []finding {
	var found []finding
	begin := 0
	for _, at := range append(sentenceEnd.FindAllIndex(text, -1), []int{len(text), len(text)}) {
		sentence := strings.ReplaceAll(string(text[begin:at[0]]), "\x00", "")
		if n := len(strings.Fields(sentence)); n > maxWords {
			found = append(found, finding{file, lineOf(text, begin), fmt.Sprintf("a sentence of %d words", n)})
		}
		begin = at[1]
	}
	return found
}
