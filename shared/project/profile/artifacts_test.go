package profile_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/project/profile"
)

// TestArtifacts: the globs are below the root of the source. Those of freeagent.json replace those of eas.json; a faulty one is an error there, and
// a warning in eas.json.
func TestArtifacts(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		eas, own string
		want     []string
		warning  string
		err      string
	}{
		"of eas.json":      {eas: `["dist/**/*.{map,txt}", "./a", "../../packages/ui/coverage"]`, want: []string{"apps/shop/dist/**/*.{map,txt}", "apps/shop/a", "packages/ui/coverage"}},
		"of both":          {eas: `["a"]`, own: `["b", "../shop/c"]`, want: []string{"apps/shop/b", "apps/shop/c"}},
		"turned off":       {eas: `["a"]`, own: `[]`},
		"out of it":        {eas: `["a", "../../../etc/passwd"]`, want: []string{"apps/shop/a"}, warning: `"../../../etc/passwd" leads out of the source`},
		"absolute":         {eas: `["/etc/passwd"]`, warning: `"/etc/passwd" is not relative`},
		"back by wildcard": {eas: `["*/../../../../etc/*"]`, warning: `has ".." after a wildcard`},
		"no glob":          {eas: `["a/[b"]`, warning: "is not a glob"},
		"too many stars":   {eas: `["**/a/**/b/**/c/**"]`, warning: "has more than 3 **"},
		"own, out of it":   {own: `["../../../x"]`, err: `artifacts: "../../../x" leads out of the source`},
		"own, empty":       {own: `[" "]`, err: `artifacts: " " is empty`},
		"own, backslash":   {own: `["a\\b"]`, err: "has a backslash"},
	} {
		tree := fstest.MapFS{"apps/shop/package.json": {Data: []byte(`{}`)}}
		if tt.eas != "" {
			tree["apps/shop/eas.json"] = &fstest.MapFile{Data: []byte(`{"build": {"p": {"buildArtifactPaths": ` + tt.eas + `}}}`)}
		}
		if tt.own != "" {
			tree["apps/shop/freeagent.json"] = &fstest.MapFile{Data: []byte(`{"profiles": {"p": {"artifacts": ` + tt.own + `}}}`)}
		}
		got, err := profile.Resolve(tree, "apps/shop", "android", "p")
		if tt.err != "" {
			if !errors.Is(err, profile.ErrProject) || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: got %v, want %q", name, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(tt.want, got.Artifacts); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if all := strings.Join(got.Warnings, "\n"); (tt.warning == "") != (all == "") || !strings.Contains(all, tt.warning) {
			t.Errorf("%s: warnings %q, want %q", name, all, tt.warning)
		}
	}
}
