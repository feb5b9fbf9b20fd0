package ingest_test

import (
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// TestRepackedBuild: a submit carries what is repacked to the scheduler, and JSON and pages say so with the signature.
func TestRepackedBuild(t *testing.T) {
	t.Parallel()
	f := setup(t)
	from := part{name: "repack_from", content: "old-build"}
	for p, signing := range map[string][2]string{"android": {"debug", "signed with a public debug key"}, "ios": {"none", "not signed"}} {
		m := f.postForm(api.Path+"/builds", withKey(), source(), platform(p), from).want(t, 201).json(t)
		id := m["id"].(string)
		for what, got := range map[string]map[string]any{"submit": m, "build": f.get(api.Path+"/builds/"+id).want(t, 200).json(t)} {
			if got["repack_from"] != "old-build" || got["signing"] != signing[0] {
				t.Errorf("%s of %s: repack_from %v, signing %v", what, p, got["repack_from"], got["signing"])
			}
		}
		if page := f.page(id); !strings.Contains(page, `<dt>Repacked from</dt><dd><a class="mono" href="/builds/old-build">old-build</a> (`+signing[1]+`)`) {
			t.Errorf("the page of %s does not say what it is repacked from:\n%s", p, page)
		}
	}
	native := f.postForm(api.Path+"/builds", withKey(), source(), platform("ios")).want(t, 201).json(t)
	if _, ok := native["signing"]; ok || strings.Contains(f.page(native["id"].(string)), "Repacked") {
		t.Errorf("a native build = %v", native)
	}
	f.postForm(api.Path+"/builds", withKey(), source(), platform("ios"), part{name: "repack_from", content: "no id"}).want(t, 400)
	f.do("POST", api.Path+"/repacks", strings.NewReader(`{"project":"shop","platform":"ios"}`), nil).want(t, 401)
}
