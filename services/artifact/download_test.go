package artifact_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/objects/objectstest"
)

func TestRanges(t *testing.T) {
	t.Parallel()
	f := setup(t)
	data := []byte("0123456789")
	for _, k := range []artifactv1.Kind{result, certs} { // plain and encrypted
		ref := f.stored("b1", k, data)
		g := f.grantDownload(ref.GetObjectId())
		etag := `"` + ref.GetSha256() + `"`
		for _, c := range []struct {
			ask, ifRange, body, contentRange string
			status                           int
		}{
			{"", "", "0123456789", "", 200},
			{"bytes=4-6", "", "456", "bytes 4-6/10", 206},
			{"bytes=7-", "", "789", "bytes 7-9/10", 206},
			{"bytes=-2", "", "89", "bytes 8-9/10", 206},
			{"bytes=0-0", "", "0", "bytes 0-0/10", 206},
			{"bytes=0-9", "", "0123456789", "bytes 0-9/10", 206},
			{"bytes=8-99", "", "89", "bytes 8-9/10", 206},
			{"bytes=-99", "", "0123456789", "bytes 0-9/10", 206},
			{"bytes=4-6", etag, "456", "bytes 4-6/10", 206},
			{"bytes=4-6", `"other"`, "0123456789", "", 200},
			{"bytes=6-4", "", "0123456789", "", 200},
			{"bytes=1-2,4-5", "", "0123456789", "", 200},
			{"bytes=+1-2", "", "0123456789", "", 200},
			{"bytes=99999999999999999999-", "", "0123456789", "", 200},
			{"lines=1-2", "", "0123456789", "", 200},
			{"bytes=", "", "0123456789", "", 200},
			{"bytes=-", "", "0123456789", "", 200},
			{"bytes=10-", "", "", "bytes */10", 416},
			{"bytes=50-60", "", "", "bytes */10", 416},
			{"bytes=-0", "", "", "bytes */10", 416},
		} {
			a := f.get(g, "Range", c.ask, "If-Range", c.ifRange)
			if a.status != c.status || a.status != 416 && string(a.body) != c.body || a.header.Get("Content-Range") != c.contentRange {
				t.Errorf("%s: GET %q if %q = %d %q %q, want %d %q %q", k, c.ask, c.ifRange,
					a.status, a.body, a.header.Get("Content-Range"), c.status, c.body, c.contentRange)
			}
			if a.status == 416 && a.code() != "range_not_satisfiable" {
				t.Errorf("GET %q = %s", c.ask, a.body)
			}
			if a.status < 300 && a.header.Get("Accept-Ranges") != "bytes" {
				t.Errorf("GET %q: headers %v", c.ask, a.header)
			}
		}
	}
}

func TestRangesOfALargeObject(t *testing.T) {
	t.Parallel()
	f := setup(t)
	data := noise(3<<20 + 7)
	g := f.grantDownload(f.stored("b1", result, data).GetObjectId())
	for _, cut := range []int{1, chunk - 1, chunk, chunk + 1, 2 * chunk, len(data) - 1} {
		head := f.get(g, "Range", "bytes=0-"+itoa(cut-1))
		tail := f.get(g, "Range", "bytes="+itoa(cut)+"-")
		if !bytes.Equal(append(head.body, tail.body...), data) {
			t.Errorf("two halves cut at %d are not the whole (%v, %v)", cut, head.err, tail.err)
		}
	}
}

func TestHeadAndConditions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ref := f.stored("b1", result, []byte("0123456789"))
	g := f.grantDownload(ref.GetObjectId())
	a := do(f.request(g, http.MethodHead, nil, "X-Request-Id", "req-1"))
	if a.status != 200 || len(a.body) != 0 || a.header.Get("Content-Length") != "10" ||
		a.header.Get("X-Checksum-Sha256") != ref.GetSha256() || a.header.Get("X-Request-Id") != "req-1" {
		t.Errorf("HEAD = %d %v", a.status, a.header)
	}
	if got := a.header.Get("Content-Disposition"); got != "attachment; filename=app.zip" {
		t.Errorf("Content-Disposition = %q", got)
	}
	etag := `"` + ref.GetSha256() + `"`
	for _, tag := range []string{etag, "W/" + etag, `"x", ` + etag, "*"} {
		if a := f.get(g, "If-None-Match", tag); a.status != http.StatusNotModified || len(a.body) != 0 {
			t.Errorf("GET If-None-Match %s = %d", tag, a.status)
		}
	}
	if a := f.get(g, "If-None-Match", `"x"`, "X-Request-Id", "bad id\t"); a.status != 200 || !build.ValidID(a.header.Get("X-Request-Id")) {
		t.Errorf("GET = %d, request id %q", a.status, a.header.Get("X-Request-Id"))
	}
}

func TestSizesAroundTheChunk(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, n := range []int{0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 2*chunk + 1} {
		data := noise(n)
		a := f.get(f.grantDownload(f.stored("b1", result, data).GetObjectId()))
		if a.err != nil || a.status != 200 || !bytes.Equal(a.body, data) {
			t.Errorf("GET of %d bytes = %d, %d bytes, %v", n, a.status, len(a.body), a.err)
		}
	}
}

// TestCorruptObjectNeverArrivesWhole alters, shortens, lengthens and removes what is stored.
func TestCorruptObjectNeverArrivesWhole(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, size := range []int{100, chunk, 3<<20 + 5} {
		data := noise(size)
		flip := func(i int) []byte { b := bytes.Clone(data); b[i] ^= 1; return b }
		for name, stored := range map[string][]byte{
			"first byte": flip(0), "last byte": flip(size - 1), "short": data[:size-1], "long": append(bytes.Clone(data), 0), "gone": nil,
		} {
			for _, k := range []artifactv1.Kind{result, certs} {
				id := f.stored("b1", k, data).GetObjectId()
				f.replace(id, stored)
				a := f.get(f.grantDownload(id))
				if a.err == nil && a.status == 200 {
					t.Errorf("%s, %d bytes, %s: GET = 200 with %d bytes", k, size, name, len(a.body))
				}
				if a.status != 200 && a.code() != "object_corrupt" {
					t.Errorf("%s, %d bytes, %s: GET = %d %s, want object_corrupt", k, size, name, a.status, a.body)
				}
				if bytes.Equal(a.body, data) {
					t.Errorf("%s, %d bytes, %s: all bytes arrived", k, size, name)
				}
			}
		}
	}
	if !strings.Contains(f.log.String(), "download interrupted") {
		t.Error("nothing in the log")
	}
}

// replace changes an object behind the service's back; nil removes it.
func (f *farm) replace(id string, data []byte) {
	f.t.Helper()
	var small int
	if err := f.db.Read().QueryRowContext(f.t.Context(), "SELECT count(*) FROM small_objects WHERE object_id = $1", id).Scan(&small); err != nil {
		f.t.Fatal(err)
	}
	switch {
	case small > 0 && data == nil:
		f.sqlExec("DELETE FROM small_objects WHERE object_id = $1", id)
		return
	case small > 0:
		f.sqlExec("UPDATE small_objects SET bytes = $1 WHERE object_id = $2", data, id)
		return
	}
	for _, key := range f.keys() {
		if !strings.Contains(key, id) {
			continue
		}
		var err error
		if data == nil {
			err = f.store.Delete(f.t.Context(), key)
		} else {
			_, err = f.store.Put(f.t.Context(), key, bytes.NewReader(data), int64(len(data)), 0)
		}
		if err != nil {
			f.t.Fatal(err)
		}
		return
	}
	f.t.Fatalf("no key of object %s", id)
}

func TestStoreFailsDuringDownload(t *testing.T) {
	t.Parallel()
	var reads, limit atomic.Int32
	limit.Store(1 << 30)
	f := setup(t, option{wrap: func(s objects.Store) objects.Store {
		return objectstest.WithFailure(s, func(op objectstest.Op, _ string) error {
			if op == objectstest.OpRead && reads.Add(1) > limit.Load() {
				return errors.New("the disk is on fire")
			}
			return nil
		})
	}})
	data := noise(8 << 20)
	g := f.grantDownload(f.stored("b1", result, data).GetObjectId())
	limit.Store(reads.Load() + 40)
	if a := f.get(g); a.status != 200 || a.err == nil || len(a.body) >= len(data) {
		t.Errorf("GET = %d, %d bytes, %v; want a cut connection", a.status, len(a.body), a.err)
	}
	limit.Store(0)
	if a := f.get(g); a.status != 500 || a.code() != "internal" || strings.Contains(string(a.body), "fire") {
		t.Errorf("GET = %d %s, want 500 without the cause", a.status, a.body)
	}
	limit.Store(1 << 30)
	if a := f.get(g); a.err != nil || !bytes.Equal(a.body, data) {
		t.Errorf("GET afterwards = %d, %v", a.status, a.err)
	}
}

func TestCertsAreStoredEncrypted(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for name, secret := range map[string][]byte{
		"in the table": zipOf(t, "key.p12", []byte("a very private key")), "in the object store": zipOf(t, "key.p12", large()),
	} {
		ref := f.stored("b1", certs, secret)
		raw := f.raw(ref.GetObjectId())
		if bytes.Contains(raw, secret[:20]) || bytes.Contains(raw, []byte("key.p12")) {
			t.Errorf("%s: the certs lie there in plain text", name)
		}
		if ref.GetSha256() != sum(secret) || ref.GetSize() != int64(len(secret)) {
			t.Errorf("%s: stat = %v, want the plain bytes' size and SHA-256", name, ref)
		}
		if a := f.get(f.grantDownload(ref.GetObjectId())); !bytes.Equal(a.body, secret) {
			t.Errorf("%s: GET = %d, %d bytes", name, a.status, len(a.body))
		}
	}
	if len(f.keys()) != 1 || f.small() != 1 {
		t.Errorf("%d in the store and %d in the table, want one each", len(f.keys()), f.small())
	}
}

func TestSlowReaderIsEnded(t *testing.T) {
	t.Parallel()
	// Long enough for the upload on a busy machine.
	f := setup(t, option{config: func(c *artifact.Config) { c.StallTimeout = 3 * time.Second }})
	data := noise(32 << 20) // more than the socket's buffers hold
	g := f.grantDownload(f.stored("b1", result, data).GetObjectId())
	resp, err := http.DefaultClient.Do(f.request(g, http.MethodGet, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := f.stop(); err != nil { // waits for the transfer, which ends by itself
		t.Error(err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("read all %d bytes of a transfer that stalled", n)
	}
}
