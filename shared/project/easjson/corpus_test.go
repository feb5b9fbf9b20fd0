package easjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/project/easjson"
)

// verdict is what Expo's parser says of a file.
type verdict struct {
	Valid              bool
	Error              *refusal
	ProfileNames       []string
	SubmitProfileNames []string
	Cli                json.RawMessage
	Profiles           []struct {
		Name         string
		Android, IOS outcome
	}
	ProfileOmitted map[string]outcome
	ProfileMissing struct {
		Requested string
		Android   outcome
	}
}

type refusal struct{ Class, Message string }

type outcome struct {
	OK       bool
	Profile  json.RawMessage
	Warnings []string
	Error    *refusal
}

// TestCorpus compares with the verdicts of Expo's parser: a part of the corpus that is here, and the
// whole of it if FREEAGENT_EAS_CORPUS names its directory.
func TestCorpus(t *testing.T) {
	t.Parallel()
	t.Run("testdata", func(t *testing.T) {
		t.Parallel()
		testCorpus(t, filepath.Join("testdata", "corpus"), 20)
	})
	t.Run("whole", func(t *testing.T) {
		t.Parallel()
		dir := os.Getenv("FREEAGENT_EAS_CORPUS")
		if dir == "" {
			t.Skip("FREEAGENT_EAS_CORPUS names no directory with eas.json files and their verdicts")
		}
		testCorpus(t, dir, 100)
	})
}

func testCorpus(t *testing.T, dir string, least int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.eas.json"))
	if err != nil || len(files) < least {
		t.Fatalf("%d files in %s, %v, want at least %d", len(files), dir, err, least)
	}
	profiles := 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".eas.json")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		expected, err := os.ReadFile(strings.TrimSuffix(file, ".eas.json") + ".expected.json")
		if err != nil {
			t.Fatal(err)
		}
		var want verdict
		if err := json.Unmarshal(expected, &want); err != nil {
			t.Fatal(err)
		}
		profiles += 2 * len(want.Profiles)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			compare(t, data, want)
		})
	}
	t.Logf("%d files, %d profiles", len(files), profiles)
}

func compare(t *testing.T, data []byte, want verdict) {
	t.Helper()
	file, err := easjson.Parse(data)
	if !want.Valid {
		compareError(t, "file", err, want.Error)
		return
	}
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	if d := cmp.Diff(want.ProfileNames, file.Names()); d != "" {
		t.Errorf("names: %s", d)
	}
	if d := cmp.Diff(want.SubmitProfileNames, file.SubmitNames()); d != "" {
		t.Errorf("names of submit: %s", d)
	}
	compareJSON(t, "cli", file.Cli, want.Cli)
	for _, p := range want.Profiles {
		compareProfile(t, file, easjson.Android, p.Name, p.Android)
		compareProfile(t, file, easjson.IOS, p.Name, p.IOS)
	}
	for platform, o := range want.ProfileOmitted {
		compareProfile(t, file, platform, "", o)
	}
	if want.ProfileMissing.Requested != "" {
		compareProfile(t, file, easjson.Android, want.ProfileMissing.Requested, want.ProfileMissing.Android)
	}
}

func compareProfile(t *testing.T, file *easjson.File, platform, name string, want outcome) {
	t.Helper()
	profile, warnings, err := file.BuildProfile(platform, name)
	where := "profile " + name + " for " + platform
	if !want.OK {
		compareError(t, where, err, want.Error)
		return
	}
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	compareJSON(t, where, profile, want.Profile)
	var lines []string
	for _, w := range warnings {
		lines = append(lines, w.Lines...)
	}
	if d := cmp.Diff(want.Warnings, lines); d != "" {
		t.Errorf("%s: warnings: %s", where, d)
	}
}

// compareJSON compares bytes: keys are sorted in both.
func compareJSON(t *testing.T, where string, got any, want json.RawMessage) {
	t.Helper()
	var b, w bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := errors.Join(enc.Encode(got), json.Compact(&w, want)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(w.String(), strings.TrimSpace(b.String())); d != "" {
		t.Errorf("%s: %s", where, d)
	}
}

func compareError(t *testing.T, where string, err error, want *refusal) {
	t.Helper()
	refused, ok := errors.AsType[*easjson.Error](err)
	switch {
	case !ok:
		t.Errorf("%s: %v, want %s", where, err, want.Message)
	case string(refused.Class) != want.Class:
		t.Errorf("%s: class %s, want %s", where, refused.Class, want.Class)
	case want.Class == string(easjson.ClassInvalid) && strings.Contains(want.Message, "invalid character"):
		// Expo's caret stands one column too far to the left.
		if !strings.HasPrefix(refused.Message, "Found invalid character in eas.json.") {
			t.Errorf("%s: %s, want %s", where, refused.Message, want.Message)
		}
	default:
		if d := cmp.Diff(paths(want.Message), paths(refused.Message)); d != "" {
			t.Errorf("%s: paths: %s", where, d)
		}
		if refused.Message != want.Message {
			t.Errorf("%s: %s\nwant %s", where, refused.Message, want.Message)
		}
	}
}

// paths returns the quoted names of a message, sorted.
func paths(message string) []string {
	found := regexp.MustCompile(`"[^"]*"`).FindAllString(message, -1)
	slices.Sort(found)
	return slices.Compact(found)
}
