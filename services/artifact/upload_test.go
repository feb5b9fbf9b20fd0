package artifact_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/objects/objectstest"
)

func TestSourceThereAndBack(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for name, c := range map[string]struct {
		data        []byte
		contentType string
		put         func(*artifactv1.Grant, []byte) answer
	}{
		"small zip":        {zipOf(t, "app.json", []byte("{}")), "application/zip", f.put},
		"small tar.gz":     {tarGzOf(t, "app.json", []byte("{}")), "application/gzip", f.put},
		"zip, no length":   {zipOf(t, "app.json", noise(100)), "application/zip", f.putChunked},
		"large zip":        {zipOf(t, "big.bin", noise(20<<20)), "application/zip", f.put},
		"large tar.gz":     {tarGzOf(t, "big.bin", noise(9<<20)), "application/gzip", f.putChunked},
		"zip just over it": {zipOf(t, "big.bin", noise(1<<20)), "application/zip", f.put},
	} {
		t.Run(name, func(t *testing.T) {
			g := f.grantUpload("b1", source)
			a := c.put(g, c.data)
			if a.status != http.StatusOK || a.err != nil {
				t.Fatalf("PUT = %d %s %v", a.status, a.body, a.err)
			}
			var up api.Uploaded
			if err := json.Unmarshal(a.body, &up); err != nil {
				t.Fatal(err)
			}
			want := api.Uploaded{ObjectID: g.GetObjectId(), Size: int64(len(c.data)), SHA256: sum(c.data)}
			if diff := cmp.Diff(want, up); diff != "" {
				t.Errorf("PUT: -want +got\n%s", diff)
			}
			f.keep(g.GetObjectId())
			if got := f.stat(g.GetObjectId()).GetObject().GetContentType(); got != c.contentType {
				t.Errorf("content type = %s, want %s", got, c.contentType)
			}
			got := f.get(f.grantDownload(g.GetObjectId()))
			if got.status != http.StatusOK || got.err != nil || !bytes.Equal(got.body, c.data) {
				t.Errorf("GET = %d, %d bytes, %v; want %d bytes", got.status, len(got.body), got.err, len(c.data))
			}
			if got.header.Get("X-Checksum-Sha256") != up.SHA256 || got.header.Get("ETag") != `"`+up.SHA256+`"` {
				t.Errorf("headers = %v", got.header)
			}
		})
	}
}

func TestKeysHoldNoUsersText(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ref := f.stored("b1", source, zipOf(t, "a", large()))
	want := regexp.MustCompile(`^my-shop----x/b1/0/source-` + ref.GetObjectId() + `-[a-z2-7]{26}$`)
	if keys := f.keys(); len(keys) != 1 || !want.MatchString(keys[0]) {
		t.Errorf("keys = %q, want one like %s", keys, want)
	}
}

func TestBadSources(t *testing.T) {
	t.Parallel()
	f := setup(t)
	cut := zipOf(t, "a", noise(1000))
	for name, c := range map[string]struct {
		data   []byte
		detail string
	}{
		"empty":           {nil, "the file is empty"},
		"text":            {[]byte("neither zip nor gzip"), "not a zip or tar.gz archive"},
		"short":           {[]byte("PK"), "not a zip or tar.gz archive"},
		"traversal":       {zipOf(t, "../../etc/passwd", []byte("x")), `".."`},
		"tar traversal":   {tarGzOf(t, "../x", []byte("x")), `".."`},
		"cut zip":         {cut[:len(cut)-10], "damaged or incomplete"},
		"gzip of no tar":  {tarGzOf(t, "a", noise(2000))[:500], "damaged or incomplete"},
		"large traversal": {zipOf(t, "../x", noise(9<<20)), `".."`},
		"large tar":       {tarGzOf(t, "../x", noise(9<<20)), `".."`},
		"large text":      {bytes.Repeat([]byte("text"), 3<<20), "not a zip or tar.gz archive"},
	} {
		for how, put := range map[string]func(*artifactv1.Grant, []byte) answer{"": f.put, ", no length": f.putChunked} {
			t.Run(name+how, func(t *testing.T) {
				a := put(f.grantUpload("b1", source), c.data)
				if a.status != http.StatusBadRequest || a.code() != "bad_archive" || !strings.Contains(a.detail(), c.detail) {
					t.Errorf("PUT = %d %s %v, want 400 bad_archive with %q", a.status, a.body, a.err, c.detail)
				}
				f.nothingLeft()
			})
		}
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: func(c *artifact.Config) {
		c.MaxSourceBytes, c.MaxCertsBytes, c.MaxResultBytes = 1<<20, 1000, 9<<20
	}})
	for k, data := range map[artifactv1.Kind][]byte{
		source: zipOf(t, "a", noise(1<<20)), certs: noise(1001), result: noise(9<<20 + 1),
	} {
		for how, put := range map[string]func(*artifactv1.Grant, []byte) answer{"": f.put, ", no length": f.putChunked} {
			t.Run(k.String()+how, func(t *testing.T) {
				a := put(f.grantUpload("b1", k), data)
				if a.status != http.StatusRequestEntityTooLarge || a.code() != "too_large" {
					t.Errorf("PUT = %d %s %v, want 413 too_large", a.status, a.body, a.err)
				}
				f.nothingLeft()
			})
		}
	}
	if a := f.put(f.grantUpload("b1", certs), noise(1000)); a.status != http.StatusOK {
		t.Errorf("PUT of exactly the limit = %d %s", a.status, a.body)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	free := uint64(100 << 20)
	f := setup(t, option{
		config: func(c *artifact.Config) { c.ReserveBytes = 50 << 20 },
		free:   func() (uint64, error) { mu.Lock(); defer mu.Unlock(); return free, nil },
	})
	set := func(n uint64) { mu.Lock(); defer mu.Unlock(); free = n }
	data := noise(40 << 20)
	if a := f.put(f.grantUpload("b1", result), large()); a.status != http.StatusOK {
		t.Fatalf("PUT that fits = %d %s", a.status, a.body)
	}
	f.sqlExec("DELETE FROM objects")
	if err := f.store.Delete(t.Context(), f.keys()[0]); err != nil {
		t.Fatal(err)
	}
	set(80 << 20)
	a := f.put(f.grantUpload("b1", result), data)
	const text = "the server has 80 MB free, of which 50 MB stay in reserve, and the upload needs 40 MB"
	if a.status != http.StatusInsufficientStorage || a.code() != "no_space" || !strings.Contains(a.detail(), text) {
		t.Errorf("PUT = %d %s %v, want 507 %s", a.status, a.body, a.err, text)
	}
	f.nothingLeft()
	// Without a length the disk is looked at while bytes arrive.
	pr, pw := io.Pipe()
	go func() {
		_, err := pw.Write(data[:1<<20])
		set(10 << 20)
		if err == nil {
			_, _ = pw.Write(data)
		}
		pw.Close()
	}()
	a = do(f.request(f.grantUpload("b1", result), http.MethodPut, pr))
	pr.Close()
	if a.status != http.StatusInsufficientStorage {
		t.Errorf("PUT without length = %d %s %v, want 507", a.status, a.body, a.err)
	}
	f.nothingLeft()
}

// What was cut leaves no bytes, and whoever sent it may try again with the same ticket.
func TestCutUploadLeavesNothing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for name, c := range map[string]struct{ announced, sent int }{
		"at once": {1000, 0}, "small": {1000, 500}, "in a part": {30 << 20, 100}, "after parts": {30 << 20, 20 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			g := f.grantUpload("b1", result)
			conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s: %s\r\n\r\n",
				api.ObjectsPath, c.announced, api.TicketHeader, g.GetHeaders()[api.TicketHeader])
			if err == nil {
				_, err = conn.Write(noise(c.sent))
			}
			if err != nil {
				t.Fatal(err)
			}
			told := strings.Count(f.log.String(), "code=upload_cut")
			conn.Close()
			f.eventually("the upload is over", func() bool { return strings.Count(f.log.String(), "code=upload_cut") > told })
			f.noBytesLeft()
			if a := f.put(g, noise(c.announced)); a.status != http.StatusOK {
				t.Errorf("PUT with the ticket of an upload that was cut = %d %s", a.status, a.body)
			}
			f.discard(g.GetObjectId())
			f.nothingLeft()
		})
	}
}

func TestSlowClientIsEnded(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: func(c *artifact.Config) { c.StallTimeout = 300 * time.Millisecond }})
	pr, pw := io.Pipe()
	defer pw.Close()
	go func() { _, _ = pw.Write(noise(1000)) }()
	a := do(f.request(f.grantUpload("b1", result), http.MethodPut, pr))
	if a.status != http.StatusRequestTimeout || a.code() != "transfer_stalled" {
		t.Errorf("PUT = %d %s %v, want 408 transfer_stalled", a.status, a.body, a.err)
	}
	f.noBytesLeft()
}

func TestStoreFailsDuringUpload(t *testing.T) {
	t.Parallel()
	f := setup(t, option{wrap: func(s objects.Store) objects.Store {
		return objectstest.WithFailure(s, func(op objectstest.Op, _ string) error {
			if op == objectstest.OpPut {
				return fmt.Errorf("disk: %w", objects.ErrNoSpace)
			}
			return nil
		})
	}})
	a := f.put(f.grantUpload("b1", result), large())
	if a.status != http.StatusInsufficientStorage || a.code() != "no_space" || strings.Contains(a.detail(), "disk:") {
		t.Errorf("PUT = %d %s, want 507 without the cause", a.status, a.body)
	}
	f.nothingLeft()
}

// TestStoreIsAwayDuringUpload: a client that was told of a store that does not answer sends its file again.
func TestStoreIsAwayDuringUpload(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	f := setup(t, option{wrap: func(s objects.Store) objects.Store {
		return objectstest.WithFailure(s, func(op objectstest.Op, _ string) error {
			if op == objectstest.OpPut && away.Load() {
				return errors.New("connection refused")
			}
			return nil
		})
	}})
	for _, data := range [][]byte{noise(2 << 20), noise(20 << 20)} {
		g := f.grantUpload("b1", result)
		away.Store(true)
		if a := f.put(g, data); a.status < 500 {
			t.Errorf("PUT of %d bytes = %d %s while the store is away, want a failure of the server", len(data), a.status, a.body)
		}
		f.noBytesLeft()
		away.Store(false)
		if a := f.put(g, data); a.status != http.StatusOK {
			t.Errorf("PUT of %d bytes = %d %s once it is back, want 200", len(data), a.status, a.body)
		}
		f.discard(g.GetObjectId())
	}
	f.nothingLeft()
}

// TestRefusalDoesNotWaitForTheBody: the client announces much, sends nothing and must hear the answer.
func TestRefusalDoesNotWaitForTheBody(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for name, ticket := range map[string]string{
		"401": "none", "413": f.grantUpload("b1", source).GetHeaders()[api.TicketHeader],
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_, err = fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s: %s\r\n\r\n",
			api.ObjectsPath, 501<<20, api.TicketHeader, ticket)
		if err == nil {
			err = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		}
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 "+name) {
			t.Errorf("answer = %.100q, %v; want %s", answer, err, name)
		}
	}
}

// TestSteadyClientMayTakeLong: longer than the ticket lives and than the stall timeout, but bytes move.
func TestSteadyClientMayTakeLong(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: func(c *artifact.Config) {
		c.StallTimeout, c.TicketTTL, c.StagedTTL = 3*time.Second, 2*time.Second, 4*time.Second
	}})
	f.scheduler.fail(build.ErrUnavailable) // so that no expiry on a very slow machine decides this test
	g := f.grantUpload("b1", result)
	expiry := func() (ms int64) {
		if err := f.db.Read().QueryRowContext(t.Context(), "SELECT expires_ms FROM objects").Scan(&ms); err != nil {
			t.Error(err)
		}
		return ms
	}
	pr, pw := io.Pipe()
	done := make(chan answer, 1)
	go func() { done <- do(f.request(g, http.MethodPut, pr)) }()
	begun, first := time.Now(), expiry()
	f.eventually("the row's expiry moves while bytes do, past all timeouts", func() bool {
		if _, err := pw.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		return time.Since(begun) > f.cfg.StallTimeout+f.cfg.StallTimeout/4 && expiry() > first+f.cfg.StagedTTL.Milliseconds()/4
	})
	pw.Close()
	if a := <-done; a.status != http.StatusOK {
		t.Errorf("PUT = %d %s %v", a.status, a.body, a.err)
	}
}

func TestRepeatedPut(t *testing.T) {
	t.Parallel()
	f := setup(t)
	data := zipOf(t, "a", noise(100))
	g := f.grantUpload("b1", source)
	first := f.put(g, data)
	if first.status != http.StatusOK {
		t.Fatalf("PUT = %d %s", first.status, first.body)
	}
	again := f.putChunked(g, data)
	if again.status != http.StatusOK || !bytes.Equal(again.body, first.body) {
		t.Errorf("the same again = %d %s, want %s", again.status, again.body, first.body)
	}
	for name, other := range map[string][]byte{"other": zipOf(t, "b", noise(100)), "empty": nil, "more": append(data, 0)} {
		if a := f.put(g, other); a.status != http.StatusConflict || a.code() != "object_exists" {
			t.Errorf("%s bytes = %d %s, want 409 object_exists", name, a.status, a.body)
		}
	}
	if keys := f.keys(); len(keys) != 0 || f.small() != 1 {
		t.Errorf("keys = %q and %d in the table, want none and one", keys, f.small())
	}
}

func TestTwoUploadsAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	g := f.grantUpload("b1", result)
	var all sync.WaitGroup
	statuses := make([]int, 6)
	for i := range statuses {
		data := noise(9 << 20)
		data[0] = byte(i % 2) // two different files, three of each
		all.Go(func() { statuses[i] = f.put(g, data).status })
	}
	all.Wait()
	won := f.stat(g.GetObjectId()).GetObject().GetSha256()
	for i, status := range statuses {
		data := noise(9 << 20)
		data[0] = byte(i % 2)
		want := http.StatusConflict
		if sum(data) == won {
			want = http.StatusOK
		}
		if status != want {
			t.Errorf("upload %d = %d, want %d", i, status, want)
		}
	}
	if keys := f.keys(); len(keys) != 1 {
		t.Errorf("keys = %q, want one", keys)
	}
	if a := f.get(f.grantDownload(g.GetObjectId())); a.err != nil || sum(a.body) != won {
		t.Errorf("GET = %d %v, not the winner's bytes", a.status, a.err)
	}
}
