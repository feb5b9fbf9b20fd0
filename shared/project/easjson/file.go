package easjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/project/jsonfile"
)

// Name is the name of the file.
const Name = "eas.json"

// Default is the profile that is meant when none is named.
const Default = "production"

// File is a valid eas.json.
type File struct {
	// Cli is the block "cli", nil without one.
	Cli *Cli
	// raw is the file as written, value the converted one.
	raw, value jsonfile.Value
}

// VersionsRemote is the value of cli.appVersionSource that has the server count build numbers.
const VersionsRemote = "remote"

// Cli is the block "cli".
type Cli struct {
	AppVersionSource                   string `json:"appVersionSource,omitempty"`
	PromptToConfigurePushNotifications *bool  `json:"promptToConfigurePushNotifications,omitempty"`
	RequireCommit                      *bool  `json:"requireCommit,omitempty"`
	UpdateAssetHostOverride            string `json:"updateAssetHostOverride,omitempty"`
	UpdateManifestHostOverride         string `json:"updateManifestHostOverride,omitempty"`
	Version                            string `json:"version,omitempty"`
}

// Read reads eas.json in dir. It returns an *Error of ClassMissingFile if there is none, and what
// Parse returns.
func Read(dir string) (*File, error) {
	path := filepath.Join(dir, Name)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{
			Class:   ClassMissingFile,
			Message: fmt.Sprintf("%s could not be found at %s. Learn more at https://expo.fyi/eas-json", Name, path),
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", Name, err)
	}
	return Parse(data)
}

// Parse reads and validates the text of an eas.json. Every error is an *Error of ClassInvalid.
func Parse(data []byte) (*File, error) {
	text := string(bytes.ToValidUTF8(data, []byte("\uFFFD")))
	if strings.TrimFunc(text, isSpace) == "" {
		return nil, &Error{Class: ClassInvalid, Message: Name + " is empty."}
	}
	raw, err := parseText(text)
	if err != nil {
		return nil, err
	}
	result := root().check(nil, raw, nil)
	if len(result.reports) > 0 {
		return nil, invalid(result.reports)
	}
	file := &File{raw: raw, value: result.value}
	if cli, ok := result.value.Get("cli"); ok {
		file.Cli = &Cli{}
		if err := decode(cli, file.Cli); err != nil {
			return nil, err
		}
	}
	return file, nil
}

// parseText reads strict JSON, else the dialect of JSON5 that Expo reads.
func parseText(text string) (jsonfile.Value, error) {
	if json.Valid([]byte(text)) {
		if v, err := jsonfile.Parse(Name, []byte(text)); err == nil {
			return v, nil
		}
	}
	v, failure := readFleece(text)
	switch {
	case failure == nil:
		return v, nil
	case failure.placed:
		return v, &Error{Class: ClassInvalid, Message: "Found invalid character in " + Name + ".\n" + codeFrame(text, failure.offset)}
	}
	return v, &Error{Class: ClassInvalid, Message: "Found invalid JSON in " + Name + "."}
}

// invalid words the problems as Expo does, one a line.
func invalid(reports []report) *Error {
	for _, r := range reports {
		if isImage(r.path) {
			return &Error{
				Class: ClassInvalid,
				Message: "Specified build image '[object Object]' is not recognized. Please update your EAS CLI and see " +
					"https://docs.expo.dev/build-reference/infrastructure/ for supported build images.",
				Problems: []Problem{{Path: label(r.path), Message: r.message}},
			}
		}
	}
	e := &Error{Class: ClassInvalid}
	var messages []string
	seen := map[string]bool{}
	for _, r := range reports {
		e.Problems = append(e.Problems, Problem{Path: label(r.path), Message: r.message})
		if !seen[r.message] {
			seen[r.message] = true
			messages = append(messages, r.message)
		}
	}
	// Expo joins the messages with ". " and splits there again, also inside of a message.
	lines := strings.Split(strings.Join(messages, ". "), ". ")
	e.Message = Name + " is not valid.\n- " + strings.Join(lines, "\n- ")
	return e
}

// isImage reports whether a path is that of an image. Expo reports a wrong image alone, without the other problems.
func isImage(path []segment) bool {
	return len(path) == 4 && path[0].key == "build" && (path[2].key == "android" || path[2].key == "ios") && path[3].key == "image"
}

// Lines of context in a code frame.
const (
	linesBefore = 2
	linesAfter  = 3
)

// codeFrame shows the line of an offset with those around it.
func codeFrame(text string, offset int) string {
	lines := strings.Split(text, "\n")
	at := strings.Count(text[:offset], "\n")
	column := len([]rune(text[strings.LastIndexByte(text[:offset], '\n')+1 : offset]))
	first, last := max(0, at-linesBefore), min(len(lines)-1, at+linesAfter)
	width := len(fmt.Sprint(last + 1))
	var out []string
	for i := first; i <= last; i++ {
		mark := " "
		if i == at {
			mark = ">"
		}
		out = append(out, strings.TrimRight(fmt.Sprintf("%s %*d | %s", mark, width, i+1, lines[i]), " \r"))
		if i == at {
			out = append(out, fmt.Sprintf("  %*s | %*s^", width, "", column, ""))
		}
	}
	return strings.Join(out, "\n")
}

// decode fills a struct with a validated value.
func decode(v jsonfile.Value, to any) error {
	data, err := v.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(data, to)
	}
	if err != nil {
		return fmt.Errorf("decode %s: %w", Name, err)
	}
	return nil
}

// Names returns the names of the build profiles in the order in which Expo lists them: that of the
// file, after names that are whole numbers.
func (f *File) Names() []string { return names(f.value, "build") }

// SubmitNames returns the names of the submit profiles.
func (f *File) SubmitNames() []string { return names(f.value, "submit") }

func names(v jsonfile.Value, block string) []string {
	names := []string{}
	profiles, _ := v.Get(block)
	for _, m := range profiles.Ordered() {
		names = append(names, m.Key)
	}
	return names
}
