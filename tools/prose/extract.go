package main

import (
	"go/scanner"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
)

// extract returns the prose of a file with everything else replaced by NUL, byte by byte, so that offsets and line numbers stay.
// Markers of comments become spaces: a phrase is found across a line break.
func extract(file string, data []byte) []byte {
	switch filepath.Ext(file) {
	case ".md":
		return markdown(data)
	case ".go":
		return golang(data)
	case ".proto":
		return comments(data, "//")
	default:
		return comments(data, "#")
	}
}

// hide replaces text by NUL, but for line breaks.
func hide(text []byte) {
	for i, c := range text {
		if c != '\n' {
			text[i] = 0
		}
	}
}

var (
	inlineCode = regexp.MustCompile("`[^`\n]*(\n[^`\n]+)?`")
	linkTarget = regexp.MustCompile(`\]\([^)\s]+\)`)
)

// markdown hides fenced and indented blocks, code and the targets of links.
func markdown(data []byte) []byte {
	out := append([]byte(nil), data...)
	fenced, code, blank, list := false, false, true, false
	offset := 0
	for line := range strings.Lines(string(data)) {
		text := out[offset : offset+len(line)]
		offset += len(line)
		trimmed := strings.TrimSpace(line)
		fence := strings.HasPrefix(trimmed, "```")
		indented := strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "\t")
		code = indented && (code || blank && !list)
		if fenced || fence || code {
			hide(text)
		}
		if fence {
			fenced = !fenced
		}
		if blank = trimmed == ""; !blank && !indented {
			list = regexp.MustCompile(`^ *([-*]|\d+\.) `).MatchString(line)
		}
		if blank && code {
			code = true
		}
	}
	for _, pattern := range []*regexp.Regexp{inlineCode, linkTarget} {
		for _, at := range pattern.FindAllIndex(out, -1) {
			hide(out[at[0]:at[1]])
		}
	}
	return out
}

var example = regexp.MustCompile(`(?m)^\s*//(\t.*|go:.*|nolint.*)$`)

// golang keeps comments, but for directives and examples, and the contents of strings.
func golang(data []byte) []byte {
	out := make([]byte, len(data))
	copy(out, data)
	hide(out)
	files := token.NewFileSet()
	file := files.AddFile("", -1, len(data))
	var s scanner.Scanner
	s.Init(file, data, nil, scanner.ScanComments)
	for {
		pos, kind, lit := s.Scan()
		if kind == token.EOF {
			break
		}
		at := file.Offset(pos)
		if kind == token.COMMENT || kind == token.STRING {
			copy(out[at:], lit)
			out[at] = ' '
			if kind == token.COMMENT {
				out[at+1] = ' '
			}
		}
	}
	for _, at := range example.FindAllIndex(data, -1) {
		hide(out[at[0]:at[1]])
	}
	// Between two comments of a group lies only indentation.
	for i, c := range data {
		if (c == ' ' || c == '\t') && out[i] == 0 {
			out[i] = ' '
		}
	}
	return out
}

// comments keeps what follows marker in lines that begin with it.
func comments(data []byte, marker string) []byte {
	out := append([]byte(nil), data...)
	offset := 0
	for line := range strings.Lines(string(data)) {
		text := out[offset : offset+len(line)]
		offset += len(line)
		if !strings.HasPrefix(strings.TrimSpace(line), marker) {
			hide(text)
			continue
		}
		at := strings.Index(line, marker)
		for i := range at + len(marker) {
			text[i] = ' '
		}
	}
	return out
}
