package artifact_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

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
	if g, err = f.grantWorker("w1", ask(func(r *artifactv1.WorkerGrantRequest) { r.Kind = artifacts })); err != nil {
		t.Fatal(err)
	}
	if a := f.put(g, noise(999)); a.status != http.StatusBadRequest {
		t.Errorf("PUT of other artifacts = %d %s", a.status, a.body)
	}
	if g, err = f.grantWorker("w1", ask(func(r *artifactv1.WorkerGrantRequest) { r.Kind = artifacts })); err != nil {
		t.Fatal(err)
	}
	if a := f.put(g, data); a.status != http.StatusOK || f.stat(g.GetObjectId()).GetKind() != artifacts {
		t.Errorf("PUT = %d %s, stat %v", a.status, a.body, f.stat(g.GetObjectId()))
	}
	for name, c := range map[string]struct {
		worker string
		change func(*artifactv1.WorkerGrantRequest)
		want   error
	}{
		"another worker":              {"w2", func(r *artifactv1.WorkerGrantRequest) { r.WorkerId = "w2" }, build.ErrLeaseLost},
		"in another's name":           {"w2", nil, build.ErrInvalid},
		"past attempt":                {"w1", func(r *artifactv1.WorkerGrantRequest) { r.Attempt = 1 }, build.ErrLeaseLost},
		"unknown build":               {"w1", func(r *artifactv1.WorkerGrantRequest) { r.BuildId = "b2" }, build.ErrNotFound},
		"bad build id":                {"w1", func(r *artifactv1.WorkerGrantRequest) { r.BuildId = "../b" }, build.ErrInvalid},
		"certs":                       {"w1", func(r *artifactv1.WorkerGrantRequest) { r.Kind = certs }, build.ErrInvalid},
		"no kind":                     {"w1", func(r *artifactv1.WorkerGrantRequest) { r.Kind = 0 }, build.ErrInvalid},
		"no size":                     {"w1", func(r *artifactv1.WorkerGrantRequest) { r.Size = 0 }, build.ErrInvalid},
		"no sum":                      {"w1", func(r *artifactv1.WorkerGrantRequest) { r.Sha256 = "" }, build.ErrInvalid},
		"sum in upper case":           {"w1", func(r *artifactv1.WorkerGrantRequest) { r.Sha256 = strings.ToUpper(r.GetSha256()) }, build.ErrInvalid},
		"too large a result":          {"w1", func(r *artifactv1.WorkerGrantRequest) { r.Size = 1<<30 + 1 }, build.ErrTooLarge},
		"too large artifacts":         {"w1", func(r *artifactv1.WorkerGrantRequest) { r.Kind, r.Size = artifacts, 2<<30+1 }, build.ErrTooLarge},
		"another's artifacts":         {"w2", func(r *artifactv1.WorkerGrantRequest) { r.WorkerId, r.Kind = "w2", artifacts }, build.ErrLeaseLost},
		"artifacts of a past attempt": {"w1", func(r *artifactv1.WorkerGrantRequest) { r.Attempt, r.Kind = 1, artifacts }, build.ErrLeaseLost},
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
