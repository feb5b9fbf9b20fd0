package artifact_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"testing"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

func legacyFile(k artifactv1.Kind, attempt int32, data []byte) *artifactv1.File {
	sum := sha256.Sum256(data)
	return &artifactv1.File{BuildId: "-old", Attempt: attempt, Kind: k, Size: int64(len(data)), Sha256: hex.EncodeToString(sum[:])}
}

func (f *farm) takeOver(check bool, files ...*artifactv1.File) []*artifactv1.Place {
	f.t.Helper()
	var resp artifactv1.TakeOverResponse
	if err := f.call("take_over", &artifactv1.TakeOverRequest{Files: files, Check: check}, &resp); err != nil {
		f.t.Fatal(err)
	}
	return resp.GetPlaces()
}

// TestTakeOver: files are stored once and unchanged, uploaded in one request or in pieces; certificates are sealed.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	f := setup(t)
	large := bytes.Repeat([]byte("no archive either "), 600_000)
	contents := [][]byte{[]byte("no archive"), {}, []byte("signing secret"), []byte("the app"), large}
	files := []*artifactv1.File{
		legacyFile(artifactv1.Kind_KIND_SOURCE, 0, contents[0]), legacyFile(artifactv1.Kind_KIND_SOURCE, 0, contents[1]),
		legacyFile(artifactv1.Kind_KIND_CERTS, 0, contents[2]), legacyFile(artifactv1.Kind_KIND_RESULT, 1, contents[3]),
		legacyFile(artifactv1.Kind_KIND_SOURCE, 0, contents[4]),
	}
	for i, p := range f.takeOver(true, files...) {
		if p.GetObject() != nil || p.GetGrant() != nil {
			t.Errorf("checked, place %d = %v, want neither file nor grant", i, p)
		}
	}
	if n := f.rows(); n != 0 {
		t.Errorf("a check left %d rows", n)
	}
	for i, p := range f.takeOver(false, files...) {
		var a answer
		if i < 4 {
			if a = f.put(p.GetGrant(), append(contents[i], 'x')); a.status != http.StatusBadRequest {
				t.Errorf("other bytes for file %d = %d %s, want 400", i, a.status, a.body)
			}
			a = f.put(f.takeOver(false, files[i])[0].GetGrant(), contents[i])
		} else {
			f.patch(p.GetGrant(), 0, large[:8<<20], false)
			a = f.patch(p.GetGrant(), 8<<20, large[8<<20:], true)
		}
		if a.status != http.StatusOK {
			t.Fatalf("file %d = %d %s", i, a.status, a.body)
		}
	}
	for i, p := range f.takeOver(false, files...) {
		if p.GetGrant() != nil || p.GetObject().GetSha256() != files[i].GetSha256() {
			t.Fatalf("again, place %d = %v, want the file itself", i, p)
		}
		if got := f.get(f.grantDownload(p.GetObject().GetObjectId())); !bytes.Equal(got.body, contents[i]) {
			t.Errorf("file %d reads as %d bytes, want %d", i, len(got.body), len(contents[i]))
		}
	}
	for _, key := range f.keys() {
		r, _, err := f.store.Get(t.Context(), key, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		var raw bytes.Buffer
		if _, err := raw.ReadFrom(r); err != nil || bytes.Contains(raw.Bytes(), contents[2]) {
			t.Errorf("%s holds certs in the clear, or %v", key, err)
		}
		_ = r.Close()
	}
}

func TestTakeOverRefusesNonsense(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for name, spoil := range map[string]func(*artifactv1.File){
		"build": func(g *artifactv1.File) { g.BuildId = "a b" }, "kind": func(g *artifactv1.File) { g.Kind = 99 },
		"hash": func(g *artifactv1.File) { g.Sha256 = "ABC" }, "size": func(g *artifactv1.File) { g.Size = -1 },
		"attempt": func(g *artifactv1.File) { g.Attempt = -1 },
	} {
		g := legacyFile(artifactv1.Kind_KIND_SOURCE, 0, []byte("x"))
		spoil(g)
		err := f.call("take_over", &artifactv1.TakeOverRequest{Files: []*artifactv1.File{g}}, &artifactv1.TakeOverResponse{})
		if !errors.Is(err, build.ErrInvalid) {
			t.Errorf("%s: take_over = %v, want %v", name, err, build.ErrInvalid)
		}
	}
}
