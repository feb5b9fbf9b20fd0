package easjson_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/project/easjson"
)

// FuzzParse checks that no file makes the reader panic, that every refusal has a class, and that
// what is accepted resolves to JSON or to a classified error.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "corpus", "*.eas.json"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := easjson.Parse(data)
		if err != nil {
			if refused, ok := errors.AsType[*easjson.Error](err); !ok || refused.Class != easjson.ClassInvalid || refused.Message == "" {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		for _, name := range append(file.Names(), "") {
			for _, platform := range []string{easjson.Android, easjson.IOS} {
				profile, _, err := file.BuildProfile(platform, name)
				if err != nil {
					if _, ok := errors.AsType[*easjson.Error](err); !ok {
						t.Errorf("%q: profile %q: %v", data, name, err)
					}
					continue
				}
				if _, err := json.Marshal(profile); err != nil {
					t.Errorf("%q: profile %q: %v", data, name, err)
				}
			}
		}
	})
}
