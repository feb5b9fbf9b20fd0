package ingest_test

import (
	"strings"
	"testing"
)

// TestCertsAreWarnedAbout: a bundle with parts that are not used is accepted, and the answer and the build's log name them.
func TestCertsAreWarnedAbout(t *testing.T) {
	t.Parallel()
	f := setup(t)
	folder := zipOf("certs/dist.p12", p12(), "certs/password.txt", "sesame")
	id, _ := f.submit(source(), platform("ios"), part{"certs", "certs.zip", folder})
	notes := strings.Join(f.scheduler.notesOf(id), "\n")
	if !strings.Contains(notes, `"certs/password.txt"`) || strings.Contains(notes, "sesame") {
		t.Errorf("notes = %q, want one that names the file", notes)
	}
}
