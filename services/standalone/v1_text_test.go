package standalone_test

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"
)

// fail ends a build with what the worker says of it.
func (w *v1) fail(id, message string) int {
	w.t.Helper()
	var buf bytes.Buffer
	form := multipart.NewWriter(&buf)
	for _, f := range [][2]string{{"error_message", message}, {"build_id", id}, {"worker_id", w.id}, {"success", "false"}} {
		if err := form.WriteField(f[0], f[1]); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		w.t.Fatal(err)
	}
	return w.call(http.MethodPost, "/api/workers/upload", form.FormDataContentType(), &buf, nil)
}

// TestV1LongTextIsCut sends texts for people that are longer than any limit: a worker's word about the end of a build
// must count however much its tools have printed.
func TestV1LongTextIsCut(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	w := f.v1("android")
	for name, message := range map[string]string{
		"64 KiB": strings.Repeat("x", 64<<10), "a byte more": strings.Repeat("x", 64<<10+1), "3 MB": strings.Repeat("error: €", 300_000),
		"cut characters": "x" + strings.Repeat("€", 64<<10), "no text": strings.Repeat("\xff\x00", 64<<10),
	} {
		id := f.submit()
		f.eventually("the worker has the build", func() bool { return w.poll() == id })
		if code := w.post("/api/builds/"+id+"/logs", `{"level":"error","message":"`+strings.ToValidUTF8(strings.ReplaceAll(message, "\x00", ""), "?")+`"}`); code != http.StatusOK {
			t.Errorf("%s: a line = %d, want 200", name, code)
		}
		if code := w.fail(id, message); code != http.StatusOK {
			t.Fatalf("%s: the failure = %d, want 200", name, code)
		}
		b, err := f.client().Builds.Get(t.Context(), id)
		if err != nil || b.Status != "failed" || b.Attempt != 1 || b.Error == "" || !utf8.ValidString(b.Error) || strings.HasPrefix(message, "x") && b.Error[0] != 'x' {
			t.Errorf("%s: build = %s, attempt %d, error %.40q, %v; want it failed in attempt 1 with the beginning of the message", name, b.Status, b.Attempt, b.Error, err)
		}
	}
}
