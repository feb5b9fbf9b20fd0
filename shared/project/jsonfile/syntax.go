package jsonfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// frameWidth bounds the source text that an error shows, in characters. Minified files are one line.
const frameWidth = 120

// SyntaxError means that a file is not JSON, or that a value has the wrong type.
type SyntaxError struct {
	// File is the name that the caller passed.
	File string
	// Line and Column count from 1. Column counts characters.
	Line, Column int
	// Problem says what is wrong, without the place.
	Problem string
	// Source is the text of the line, without its line break.
	Source string
}

// Error returns the place and the problem, and below them the line with a caret under the column.
func (e *SyntaxError) Error() string {
	return e.Summary() + "\n" + e.Frame()
}

// Summary returns the place and the problem in one line.
func (e *SyntaxError) Summary() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Problem)
}

// Frame returns the line's number and text, and a caret under the column. It has two lines.
func (e *SyntaxError) Frame() string {
	source, at := []rune(e.Source), e.Column-1
	if from := at - frameWidth/2; len(source) > frameWidth && from > 0 {
		source, at = source[min(from, len(source)):], at-from
	}
	source = source[:min(len(source), frameWidth)]
	pad := make([]rune, 0, at)
	for i := range at {
		if i < len(source) && source[i] == '\t' {
			pad = append(pad, '\t')
		} else {
			pad = append(pad, ' ')
		}
	}
	number := fmt.Sprintf("%5d", e.Line)
	return fmt.Sprintf("%s | %s\n%s | %s^", number, string(source), strings.Repeat(" ", len(number)), string(pad))
}

// ErrorAt returns a SyntaxError about the byte at offset of data.
func ErrorAt(file string, data []byte, offset int, problem string) *SyntaxError {
	data = StripMark(data)
	offset = max(0, min(offset, len(data)))
	start := bytes.LastIndexByte(data[:offset], '\n') + 1
	source := data[start:]
	if end := bytes.IndexByte(source, '\n'); end >= 0 {
		source = source[:end]
	}
	return &SyntaxError{
		File:    file,
		Line:    bytes.Count(data[:offset], []byte{'\n'}) + 1,
		Column:  utf8.RuneCount(data[start:offset]) + 1,
		Problem: problem,
		Source:  strings.TrimRight(strings.ToValidUTF8(string(source), "\uFFFD"), "\r"),
	}
}

// strictError translates an error of encoding/json. Others are returned as they are.
func strictError(file string, data []byte, err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset := int(syntax.Offset) - 1
		if strings.HasPrefix(syntax.Error(), "unexpected end") {
			offset = len(bytes.TrimRight(data, " \t\r\n"))
		}
		return ErrorAt(file, data, offset, syntax.Error())
	}
	if typed, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return ErrorAt(file, data, int(typed.Offset)-1, typeProblem(typed))
	}
	return fmt.Errorf("%s: %w", file, err)
}

func typeProblem(err *json.UnmarshalTypeError) string {
	want := map[string]string{"string": "text", "bool": "true or false", "slice": "a list", "map": "an object", "struct": "an object"}[err.Type.Kind().String()]
	if want == "" {
		want = "a number"
	}
	if err.Field == "" {
		return fmt.Sprintf("found a %s, want %s", err.Value, want)
	}
	return fmt.Sprintf("%q is a %s, want %s", err.Field, err.Value, want)
}
