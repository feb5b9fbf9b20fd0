package easjson_test

import (
	"testing"

	"github.com/expo-free-agent/freeagent/shared/project/easjson"
)

// TestBuildEnvironment: as eas-cli 24 chooses it (build/evaluateConfigWithEnvVarsAsync).
func TestBuildEnvironment(t *testing.T) {
	t.Parallel()
	for profile, want := range map[string]string{
		`{}`:                          "production", // distribution is store by default
		`{"distribution":"store"}`:    "production",
		`{"developmentClient":true}`:  "production",
		`{"distribution":"internal"}`: "preview",
		`{"distribution":"internal","developmentClient":false}`: "preview",
		`{"distribution":"internal","developmentClient":true}`:  "development",
		`{"environment":"staging","distribution":"internal"}`:   "staging",
	} {
		f, err := easjson.Parse([]byte(`{"build":{"p":` + profile + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		p, _, err := f.BuildProfile(easjson.Android, "p")
		if got := p.BuildEnvironment(); err != nil || got != want {
			t.Errorf("%s: environment %q, %v, want %q", profile, got, err, want)
		}
	}
}
