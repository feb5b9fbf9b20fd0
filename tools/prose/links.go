package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
)

var (
	codeSpan   = regexp.MustCompile("`([^`\n]+)`")
	linkPath   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	changeDir  = regexp.MustCompile(`(?m)^ {4}.*?\bcd ([\w./-]+) &&`)
	plainPath  = regexp.MustCompile(`^[\w.*-]+(/[\w.*-]+)+/?$`)
	headings   = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	ofOurs     = regexp.MustCompile(`^(\.ci|\.github|clients|deployments|docs|e2e|examples|proto-events|scripts|services|shared|tools)/`)
	stampOrVar = regexp.MustCompile(`(^|/)[A-Z](/|$)|\.\.\.`)
)

// checkLinks finds paths of the repository and targets of links in a Markdown file that do not exist.
func checkLinks(file, text string) []finding {
	var found []finding
	report := func(at int, message string) {
		found = append(found, finding{file, strings.Count(text[:at], "\n") + 1, message})
	}
	for _, pattern := range []*regexp.Regexp{codeSpan, changeDir} {
		for _, at := range pattern.FindAllStringSubmatchIndex(text, -1) {
			if path := text[at[2]:at[3]]; namesFile(path) && !exists(path) {
				report(at[0], "no such file in the repository: "+path)
			}
		}
	}
	for _, at := range linkPath.FindAllStringSubmatchIndex(text, -1) {
		target := text[at[2]:at[3]]
		if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
			continue
		}
		if message := checkTarget(file, text, target); message != "" {
			report(at[0], message)
		}
	}
	return found
}

// namesFile says whether code in a sentence is a path of this repository. Examples such as services/X are not.
func namesFile(path string) bool {
	return ofOurs.MatchString(path) && (plainPath.MatchString(path) || strings.HasSuffix(path, "/")) && !stampOrVar.MatchString(path)
}

func exists(pattern string) bool {
	matches, err := filepath.Glob(pattern)
	return err == nil && len(matches) > 0
}

// checkTarget returns what is wrong with the target of a link in file, or nothing.
func checkTarget(file, text, target string) string {
	path, anchor, _ := strings.Cut(target, "#")
	if path != "" {
		path = filepath.Join(filepath.Dir(file), path)
		if !exists(path) {
			return "broken link: " + target
		}
		if filepath.Ext(path) != ".md" {
			return ""
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err.Error()
		}
		text = string(data)
	}
	if anchor != "" && !hasAnchor(text, anchor) {
		return "no such section: " + target
	}
	return ""
}

func hasAnchor(text, anchor string) bool {
	for _, heading := range headings.FindAllStringSubmatch(text, -1) {
		if slug(heading[1]) == anchor {
			return true
		}
	}
	return false
}

// slug returns the anchor that the forge makes of a heading.
func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(heading))
}
