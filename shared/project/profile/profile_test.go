package profile

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
)

func app(files ...string) fstest.MapFS {
	tree := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		tree["apps/shop/"+files[i]] = &fstest.MapFile{Data: []byte(files[i+1]), Mode: 0o644}
	}
	return tree
}

// TestResolve: which of the two files has the profile, and what is said if none has.
func TestResolve(t *testing.T) {
	t.Parallel()
	const eas, own = `{"build": {"preview": {"channel": "beta"}, "production": {}}}`, `{"profiles": {"web": {"env": {"A": "1"}}}}`
	tests := []struct {
		what          string
		files         []string
		asked         string
		name, channel string // of the resolved profile
		refused       string
	}{
		{what: "nothing", name: ""},
		{what: "nothing, and one is asked for", asked: "preview", refused: "neither eas.json nor freeagent.json"},
		{what: "nothing, and the default is asked for", asked: "production", name: ""},
		{what: "eas.json", files: []string{"eas.json", eas}, asked: "preview", name: "preview", channel: "beta"},
		{what: "the default", files: []string{"eas.json", eas}, name: "production"},
		{what: "only freeagent.json has it", files: []string{"eas.json", eas, "freeagent.json", own}, asked: "web", name: "web"},
		{what: "no default in eas.json", files: []string{"eas.json", `{"build": {"preview": {}}}`}, refused: `no profile "production" in eas.json, and none was named. There are: preview.`},
		{what: "no default in freeagent.json", files: []string{"freeagent.json", own}, name: ""},
		{what: "a typo", files: []string{"eas.json", eas, "freeagent.json", own}, asked: "wbe", refused: `no profile "wbe" in eas.json or freeagent.json. Did you mean "web"? There are: preview, production, web.`},
		{what: "no typo", files: []string{"eas.json", eas}, asked: "staging", refused: `no profile "staging" in eas.json. There are: preview, production.`},
		{what: "a broken eas.json", files: []string{"eas.json", `{"build": {"production": {"foo": 1}}}`}, refused: `"build.production.foo" is not allowed`},
		{what: "a broken freeagent.json", files: []string{"freeagent.json", `{"profile": {}}`}, refused: `unknown field "profile"`},
		{what: "a root for the client", files: []string{"eas.json", eas, "freeagent.json", `{"root": ".."}`}, name: "production"},
		{what: "a root that is no relative path", files: []string{"freeagent.json", `{"root": "/srv"}`}, refused: `root "/srv" is not a path relative to the app`},
		{what: "a variable of the worker", files: []string{"eas.json", `{"build": {"production": {"env": {"FREEAGENT_URL": "1"}}}}`}, refused: "worker's own"},
	}
	for _, tt := range tests {
		p, err := Resolve(app(tt.files...), "apps/shop", "android", tt.asked)
		if tt.refused != "" {
			if !errors.Is(err, ErrProject) || !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("%s: %v, want ErrProject with %q", tt.what, err, tt.refused)
			}
			continue
		}
		channel := ""
		if p.EAS != nil {
			channel = p.EAS.Channel
		}
		if err != nil || p.Name != tt.name || channel != tt.channel {
			t.Errorf("%s: profile %q of channel %q, %v", tt.what, p.Name, channel, err)
		}
	}
}
