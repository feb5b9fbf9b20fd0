// Command prose checks how we write: it reports words and phrases that the glossary or our idiom rules out, and names of files
// and sections in the docs that do not exist.
//
//	prose [-long] [-rules FILE] FILE...    check the prose of these files
//	prose -links FILE.md...                check the paths and links of these Markdown files
//
// It reads the prose of Markdown, the comments and strings of Go, and the comments of proto, YAML and shell files. It is run from the
// top of the repository. The exit code is 1 if it found something. Long sentences are warnings: -long lists them.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

// finding is one thing to change, at a line of a file.
type finding struct {
	file string
	line int
	text string
}

func main() {
	rulesFile := flag.String("rules", "tools/prose/rules.txt", "file with the words and phrases to report")
	long := flag.Bool("long", false, "list sentences of more than 40 words")
	links := flag.Bool("links", false, "check the paths and links of Markdown files instead")
	flag.Parse()
	found, warned, err := run(flag.Args(), *rulesFile, *links)
	if err != nil {
		fmt.Fprintln(os.Stderr, "prose:", err)
		os.Exit(2)
	}
	for _, f := range found {
		fmt.Printf("%s:%d: %s\n", f.file, f.line, f.text)
	}
	if *long {
		for _, f := range warned {
			fmt.Printf("%s:%d: warning: %s\n", f.file, f.line, f.text)
		}
	} else if len(warned) > 0 {
		fmt.Printf("sentences of more than %d words: %d (warning; prose -long lists them)\n", maxWords, len(warned))
	}
	if len(found) > 0 {
		os.Exit(1)
	}
}

// run checks the files and returns what must change and what is only a warning.
func run(files []string, rulesFile string, links bool) (found, warned []finding, err error) {
	var rules []rule
	if !links {
		if rules, err = readRules(rulesFile); err != nil {
			return nil, nil, err
		}
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, err
		}
		if links {
			found = append(found, checkLinks(file, string(data))...)
			continue
		}
		text := extract(file, data)
		found = append(found, checkRules(file, text, rules)...)
		if strings.HasSuffix(file, ".md") {
			warned = append(warned, longSentences(file, text)...)
		}
	}
	return found, warned, nil
}
