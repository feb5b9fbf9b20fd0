package artifact_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/objects/objectstest"
)

const piece = objects.PartSize

// patch appends data at offset.
func (f *farm) patch(g *artifactv1.Grant, offset int, data []byte, last bool) answer {
	f.t.Helper()
	return do(f.request(g, http.MethodPatch, bytes.NewReader(data),
		api.OffsetHeader, strconv.Itoa(offset), api.CompleteHeader, map[bool]string{true: "?1", false: "?0"}[last]))
}

// wantAt asks where an upload stands.
func (f *farm) wantAt(g *artifactv1.Grant, offset int, complete string) {
	f.t.Helper()
	a := do(f.request(g, http.MethodHead, nil))
	got := []string{strconv.Itoa(a.status), a.header.Get(api.OffsetHeader), a.header.Get(api.CompleteHeader)}
	if diff := cmp.Diff([]string{"204", strconv.Itoa(offset), complete}, got); diff != "" {
		f.t.Fatalf("HEAD: -want +got\n%s", diff)
	}
}

func (f *farm) wantUploaded(g *artifactv1.Grant, a answer, data []byte) {
	f.t.Helper()
	var up api.Uploaded
	if err := json.Unmarshal(a.body, &up); err != nil || a.status != http.StatusOK {
		f.t.Fatalf("PATCH = %d %s %v", a.status, a.body, a.err)
	}
	if diff := cmp.Diff(api.Uploaded{ObjectID: g.GetObjectId(), Size: int64(len(data)), SHA256: sum(data)}, up); diff != "" {
		f.t.Errorf("PATCH: -want +got\n%s", diff)
	}
	if got := f.get(f.grantDownload(g.GetObjectId())); !bytes.Equal(got.body, data) {
		f.t.Errorf("read back %d bytes, want the %d sent", len(got.body), len(data))
	}
}

// cut sends the head of an append and n bytes of it, and hangs up.
func (f *farm) cut(g *artifactv1.Grant, offset int, data []byte, n int) {
	f.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	req := f.request(g, http.MethodPatch, nil, api.OffsetHeader, strconv.Itoa(offset), "Content-Length", strconv.Itoa(len(data)))
	_, err = io.WriteString(conn, "PATCH "+g.GetUrl()+" HTTP/1.1\r\nHost: x\r\n")
	err = errors.Join(err, req.Header.Write(conn))
	_, werr := io.Copy(conn, io.MultiReader(strings.NewReader("\r\n"), bytes.NewReader(data[:n])))
	if err = errors.Join(err, werr); err != nil {
		f.t.Fatal(err)
	}
}

func TestUploadGoesOnWhereItBroke(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{
		"zip": zipOf(t, "big.bin", noise(2*piece)), "tar.gz": tarGzOf(t, "big.bin", noise(2*piece)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			g := f.grantUpload("b1", source)
			f.wantAt(g, 0, api.Incomplete)
			f.cut(g, 0, data, piece+1000)
			f.eventually("what came whole stays", func() bool {
				return do(f.request(g, http.MethodHead, nil)).header.Get(api.OffsetHeader) == strconv.Itoa(piece)
			})
			if a := f.patch(g, 0, data, true); a.status != http.StatusConflict || a.code() != api.CodeOffset || a.header.Get(api.OffsetHeader) != strconv.Itoa(piece) {
				t.Errorf("PATCH at another offset = %d %s %v", a.status, a.body, a.header)
			}
			if a := f.patch(g, piece, data[piece:2*piece+5], false); a.status != http.StatusNoContent || a.header.Get(api.OffsetHeader) != strconv.Itoa(2*piece) {
				t.Errorf("PATCH = %d %s %v, want 204 with what was kept", a.status, a.body, a.header)
			}
			for range 2 { // as if the first answer were lost
				f.wantUploaded(g, f.patch(g, 2*piece, data[2*piece:], true), data)
			}
			f.wantAt(g, len(data), api.Complete)
			if a := f.patch(g, len(data), nil, true); a.status != http.StatusOK {
				t.Errorf("an empty last append = %d %s", a.status, a.body)
			}
			f.keep(g.GetObjectId())
			if n := len(f.keys()); n != 1 {
				t.Errorf("%d keys, want 1", n)
			}
		})
	}
}

func TestUploadOutlivesTheService(t *testing.T) {
	t.Parallel()
	f := setup(t)
	data := noise(piece + 10)
	g := f.grantUpload("b1", result)
	if a := f.patch(g, 0, data[:piece], false); a.status != http.StatusNoContent {
		t.Fatalf("PATCH = %d %s", a.status, a.body)
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	f.start(artifact.Deps{DB: f.db, Store: f.store, Conn: f.conn, Log: f.slog()})
	f.wantUploaded(g, f.patch(g, piece, data[piece:], true), data)
}

// Half an hour's upload is not cut by a ticket for a quarter: what began in time may end.
func TestLateAppends(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: func(c *artifact.Config) { c.TicketTTL = time.Second }})
	data := noise(piece + 10) // before the ticket, which does not wait
	begun := f.grantUpload("b1", result)
	if a := f.patch(begun, 0, data[:piece], false); a.status != http.StatusNoContent {
		t.Fatalf("PATCH = %d %s", a.status, a.body)
	}
	idle := f.grantUpload("b1", result)
	f.eventually("the tickets expire", func() bool { return time.Now().UnixMilli() > idle.GetExpiresAtMs() })
	if a := f.patch(idle, 0, data[:piece], false); a.status != http.StatusUnauthorized || !strings.Contains(a.detail(), "expired") {
		t.Errorf("an upload that begins late = %d %s", a.status, a.body)
	}
	f.wantUploaded(begun, f.patch(begun, piece, data[piece:], true), data)
}

func TestRefusedAppends(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: func(c *artifact.Config) { c.MaxSourceBytes = piece + 100 }})
	good := zipOf(t, "a", noise(piece+200))
	tests := map[string]struct {
		k    artifactv1.Kind
		send func(g *artifactv1.Grant) answer
		want int
		code string
	}{
		"no archive":      {source, func(g *artifactv1.Grant) answer { return f.patch(g, 0, noise(piece), false) }, 400, "bad_archive"},
		"announced large": {source, func(g *artifactv1.Grant) answer { return f.patch(g, 0, good, false) }, 413, "too_large"},
		"grows large": {source, func(g *artifactv1.Grant) answer {
			f.patch(g, 0, good[:piece], false)
			return do(f.request(g, http.MethodPatch, struct{ io.Reader }{bytes.NewReader(good[piece:])}, api.OffsetHeader, strconv.Itoa(piece), api.CompleteHeader, "?1"))
		}, 413, "too_large"},
		"broken archive": {source, func(g *artifactv1.Grant) answer {
			f.patch(g, 0, good[:piece], false)
			return f.patch(g, piece, nil, true)
		}, 400, "bad_archive"},
		"certs":     {certs, func(g *artifactv1.Grant) answer { return f.patch(g, 0, good[:100], false) }, 400, "invalid_request"},
		"no offset": {source, func(g *artifactv1.Grant) answer { return do(f.request(g, http.MethodPatch, nil)) }, 400, "invalid_request"},
		"bad flag": {source, func(g *artifactv1.Grant) answer {
			return do(f.request(g, http.MethodPatch, nil, api.OffsetHeader, "0", api.CompleteHeader, "yes"))
		}, 400, "invalid_request"},
		"far ahead":   {source, func(g *artifactv1.Grant) answer { return f.patch(g, 7, good[:100], false) }, 409, api.CodeOffset},
		"in one":      {source, func(g *artifactv1.Grant) answer { return f.patch(g, 0, zipOf(t, "a", nil), true) }, 200, ""},
		"empty":       {source, func(g *artifactv1.Grant) answer { return f.patch(g, 0, nil, true) }, 400, "bad_archive"},
		"fake ticket": {source, func(*artifactv1.Grant) answer { return f.patch(&artifactv1.Grant{Url: api.ObjectsPath}, 0, nil, true) }, 401, "not_authorized"},
	}
	for name, tt := range tests {
		if a := tt.send(f.grantUpload("b1", tt.k)); a.status != tt.want || a.code() != tt.code {
			t.Errorf("%s = %d %s %v, want %d %s", name, a.status, a.body, a.err, tt.want, tt.code)
		}
	}
	f.sqlExec("UPDATE objects SET expires_ms = 1")
	f.nothingLeft()
}

func TestDeclaredBytesInPieces(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.scheduler.set(&schedulerv1.Build{Id: "b1", Attempt: 1}, "w1")
	data := noise(piece + 10)
	req := &artifactv1.WorkerGrantRequest{BuildId: "b1", Attempt: 1, Kind: result, Name: "r", Size: int64(len(data)), Sha256: sum(data)}
	for name, last := range map[string][]byte{"others": bytes.Repeat([]byte{1}, 10), "too few": data[piece : piece+9]} {
		g, err := f.grantWorker("w1", req)
		if err != nil {
			t.Fatal(err)
		}
		f.patch(g, 0, data[:piece], false)
		if a := f.patch(g, piece, last, true); a.status != http.StatusBadRequest {
			t.Errorf("%s = %d %s, want 400", name, a.status, a.body)
		}
	}
	f.nothingLeft()
}

// twisted stores other bytes than it was given, as a store that lost power might.
type twisted struct{ objects.Store }

func (s twisted) PutPiece(ctx context.Context, p objects.Pieced, number int, data []byte) (string, error) {
	return s.Store.PutPiece(ctx, p, number, append([]byte{1}, data[1:]...))
}

func TestPiecesThatReadBackOtherwise(t *testing.T) {
	t.Parallel()
	f := setup(t, option{wrap: func(s objects.Store) objects.Store { return twisted{s} }})
	g := f.grantUpload("b1", result)
	f.patch(g, 0, noise(piece), false)
	if a := f.patch(g, piece, []byte("x"), true); a.status != http.StatusInternalServerError || a.code() != "object_corrupt" {
		t.Errorf("PATCH = %d %s, want 500 object_corrupt", a.status, a.body)
	}
	f.nothingLeft()
}

// The process may end between the last piece and the row: asked again, the upload is what it would have been.
func TestJoinedButNotSaid(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	f := setup(t, option{wrap: func(s objects.Store) objects.Store {
		return objectstest.WithFailure(s, func(op objectstest.Op, _ string) error {
			if op == objectstest.OpGet && broken.CompareAndSwap(true, false) {
				return errors.New("the line to the store broke")
			}
			return nil
		})
	}})
	data := noise(piece + 10)
	g := f.grantUpload("b1", result)
	f.patch(g, 0, data[:piece], false)
	broken.Store(true)
	if a := f.patch(g, piece, data[piece:], true); a.status != http.StatusInternalServerError {
		t.Fatalf("PATCH = %d %s, want 500", a.status, a.body)
	}
	f.wantAt(g, len(data), api.Incomplete)
	f.wantUploaded(g, f.patch(g, len(data), nil, true), data)
}

func TestRacingAppends(t *testing.T) {
	t.Parallel()
	f := setup(t)
	g, data := f.grantUpload("b1", result), noise(piece)
	answers := make(chan answer)
	for range 4 {
		go func() { answers <- f.patch(g, 0, data, false) }()
	}
	good := 0
	for range 4 {
		switch a := <-answers; a.status {
		case http.StatusNoContent:
			good++
		case http.StatusConflict:
		default:
			t.Errorf("PATCH = %d %s %v", a.status, a.body, a.err)
		}
	}
	if good != 1 {
		t.Errorf("%d of 4 equal appends were taken, want 1", good)
	}
	f.wantUploaded(g, f.patch(g, piece, []byte("end"), true), append(data, "end"...))
}
