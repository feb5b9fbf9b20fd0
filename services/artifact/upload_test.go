package artifact_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
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
	ref := f.stored("b1", source, zipOf(t, "a", nil))
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
	if a := f.put(f.grantUpload("b1", result), data[:1000]); a.status != http.StatusOK {
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
			conn.Close()
			f.nothingLeft()
			if a := f.put(g, noise(c.announced)); a.status != http.StatusNotFound || a.code() != "object_not_found" {
				t.Errorf("PUT with the ticket of a failed upload = %d %s", a.status, a.body)
			}
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
	f.nothingLeft()
}

// TestSteadyClientMayTakeLong: longer than the stall timeout and than the ticket lives, but bytes move.
func TestSteadyClientMayTakeLong(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: func(c *artifact.Config) {
		c.StallTimeout, c.TicketTTL, c.StagedTTL = 400*time.Millisecond, 500*time.Millisecond, time.Second
	}})
	f.scheduler.set(&schedulerv1.Build{Id: "b1"}, "")
	pr, pw := io.Pipe()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	go func() {
		for range 40 {
			<-tick.C
			if _, err := pw.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
		pw.Close()
	}()
	if a := do(f.request(f.grantUpload("b1", result), http.MethodPut, pr)); a.status != http.StatusOK {
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
	if keys := f.keys(); len(keys) != 1 {
		t.Errorf("keys = %q, want one", keys)
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

func TestTickets(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: func(c *artifact.Config) { c.TicketTTL = 50 * time.Millisecond }})
	long := setup(t)
	up := long.grantUpload("b1", result)
	ref := long.stored("b2", result, []byte("x"))
	down := long.grantDownload(ref.GetObjectId())
	with := func(ticket string) *artifactv1.Grant {
		return &artifactv1.Grant{Url: api.ObjectsPath, Headers: map[string]string{api.TicketHeader: ticket}}
	}
	upTicket, downTicket := up.GetHeaders()[api.TicketHeader], down.GetHeaders()[api.TicketHeader]
	last := upTicket[:len(upTicket)-1] + map[bool]string{true: "B", false: "A"}[strings.HasSuffix(upTicket, "A")]
	for name, ticket := range map[string]string{"none": "", "garbage": "x.y", "for reading": downTicket, "altered": last, "unsigned": strings.Split(upTicket, ".")[0]} {
		if a := long.put(with(ticket), []byte("x")); a.status != http.StatusUnauthorized || a.code() != "not_authorized" {
			t.Errorf("PUT with ticket %s = %d %s, want 401", name, a.status, a.body)
		}
	}
	if a := long.get(with(upTicket)); a.status != http.StatusUnauthorized {
		t.Errorf("GET with a ticket for writing = %d, want 401", a.status)
	}
	g := f.grantUpload("b1", result)
	f.eventually("the ticket expires", func() bool { return time.Now().UnixMilli() > g.GetExpiresAtMs() })
	if a := f.put(g, []byte("x")); a.status != http.StatusUnauthorized || !strings.Contains(a.detail(), "expired") {
		t.Errorf("PUT with an expired ticket = %d %s", a.status, a.body)
	}
	for _, log := range []string{f.log.String(), long.log.String()} {
		for _, secret := range []string{upTicket, downTicket, g.GetHeaders()[api.TicketHeader]} {
			if strings.Contains(log, secret) || strings.Contains(log, strings.Split(secret, ".")[1]) {
				t.Error("a ticket is in the log")
			}
		}
	}
}

func TestAnyReplicaServesAnyTicket(t *testing.T) {
	t.Parallel()
	f := setup(t)
	g := f.grantUpload("b1", result)
	deps := artifact.Deps{DB: f.db, Store: f.store, Conn: f.bus.Connect("second"), Log: slog.New(slog.NewTextHandler(f.log, nil))}
	first := f.stop
	f.start(deps)
	if a := f.put(g, []byte("x")); a.status != http.StatusOK {
		t.Errorf("PUT on the other replica = %d %s", a.status, a.body)
	}
	if err := first(); err != nil {
		t.Error(err)
	}
}

func TestWorkerGrants(t *testing.T) {
	t.Parallel()
	f := setup(t)
	src := f.stored("b1", source, zipOf(t, "a", nil))
	other := f.stored("b9", source, zipOf(t, "b", nil))
	f.scheduler.set(&schedulerv1.Build{Id: "b1", Project: "shop", Attempt: 2, Source: src}, "w1")
	data := noise(1000)
	ask := func(change func(*artifactv1.WorkerGrantRequest)) *artifactv1.WorkerGrantRequest {
		r := &artifactv1.WorkerGrantRequest{
			WorkerId: "w1", BuildId: "b1", Attempt: 2, Kind: result, Name: "../out/a.tar.gz", Size: 1000, Sha256: sum(data),
		}
		if change != nil {
			change(r)
		}
		return r
	}
	g, err := f.grantWorker("w1", ask(func(r *artifactv1.WorkerGrantRequest) { r.Kind = source }))
	if err != nil {
		t.Fatal(err)
	}
	if g.GetObject().GetSha256() != src.GetSha256() || sum(f.get(g).body) != src.GetSha256() {
		t.Errorf("source grant = %v", g.GetObject())
	}
	if g, err = f.grantWorker("w1", ask(nil)); err != nil {
		t.Fatal(err)
	}
	if a := f.put(g, data); a.status != http.StatusOK {
		t.Fatalf("PUT = %d %s", a.status, a.body)
	}
	st := f.stat(g.GetObjectId())
	if st.GetBuildId() != "b1" || st.GetAttempt() != 2 || st.GetKind() != result || st.GetObject().GetName() != "a.tar.gz" {
		t.Errorf("stat = %v", st)
	}
	for name, c := range map[string]struct {
		worker string
		change func(*artifactv1.WorkerGrantRequest)
		want   error
	}{
		"another worker":     {"w2", func(r *artifactv1.WorkerGrantRequest) { r.WorkerId = "w2" }, build.ErrLeaseLost},
		"in another's name":  {"w2", nil, build.ErrInvalid},
		"past attempt":       {"w1", func(r *artifactv1.WorkerGrantRequest) { r.Attempt = 1 }, build.ErrLeaseLost},
		"unknown build":      {"w1", func(r *artifactv1.WorkerGrantRequest) { r.BuildId = "b2" }, build.ErrNotFound},
		"bad build id":       {"w1", func(r *artifactv1.WorkerGrantRequest) { r.BuildId = "../b" }, build.ErrInvalid},
		"certs":              {"w1", func(r *artifactv1.WorkerGrantRequest) { r.Kind = certs }, build.ErrInvalid},
		"no kind":            {"w1", func(r *artifactv1.WorkerGrantRequest) { r.Kind = 0 }, build.ErrInvalid},
		"no size":            {"w1", func(r *artifactv1.WorkerGrantRequest) { r.Size = 0 }, build.ErrInvalid},
		"no sum":             {"w1", func(r *artifactv1.WorkerGrantRequest) { r.Sha256 = "" }, build.ErrInvalid},
		"sum in upper case":  {"w1", func(r *artifactv1.WorkerGrantRequest) { r.Sha256 = strings.ToUpper(r.GetSha256()) }, build.ErrInvalid},
		"too large a result": {"w1", func(r *artifactv1.WorkerGrantRequest) { r.Size = 1<<30 + 1 }, build.ErrTooLarge},
	} {
		_, err := f.grantWorker(c.worker, ask(c.change))
		t.Run(name, func(t *testing.T) { wantIs(t, err, c.want) })
	}
	for _, s := range []*eventsv1.ObjectRef{nil, other} { // no source, and one of another build
		f.scheduler.set(&schedulerv1.Build{Id: "b1", Attempt: 2, Source: s}, "w1")
		_, err = f.grantWorker("w1", ask(func(r *artifactv1.WorkerGrantRequest) { r.Kind = source }))
		wantIs(t, err, build.ErrObjectNotFound)
	}
	f.scheduler.fail(fmt.Errorf("%w: it rests", build.ErrUnavailable))
	_, err = f.grantWorker("w1", ask(nil))
	wantIs(t, err, build.ErrUnavailable)
}

func TestResultMustBeAsDeclared(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.scheduler.set(&schedulerv1.Build{Id: "b1", Attempt: 1}, "w1")
	for _, size := range []int{1000, 20 << 20} {
		data := noise(size)
		wrong := bytes.Clone(data)
		wrong[size/2] ^= 1
		for name, sent := range map[string][]byte{"short": data[:size-1], "other": wrong, "empty": nil} {
			for how, put := range map[string]func(*artifactv1.Grant, []byte) answer{"": f.put, ", no length": f.putChunked} {
				t.Run(fmt.Sprintf("%s %d%s", name, size, how), func(t *testing.T) {
					g, err := f.grantWorker("w1", &artifactv1.WorkerGrantRequest{
						BuildId: "b1", Attempt: 1, Kind: result, Size: int64(size), Sha256: sum(data),
					})
					if err != nil {
						t.Fatal(err)
					}
					if a := put(g, sent); a.status != http.StatusBadRequest || a.code() != "invalid_request" {
						t.Errorf("PUT = %d %s %v, want 400 invalid_request", a.status, a.body, a.err)
					}
					f.nothingLeft()
				})
			}
		}
	}
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
	a := f.put(f.grantUpload("b1", result), []byte("x"))
	if a.status != http.StatusInsufficientStorage || a.code() != "no_space" || strings.Contains(a.detail(), "disk:") {
		t.Errorf("PUT = %d %s, want 507 without the cause", a.status, a.body)
	}
	f.nothingLeft()
}
