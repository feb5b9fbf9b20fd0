package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/api/apitest"
)

// half reads some of a request and hangs up.
func half(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.CopyN(io.Discard, r.Body, 1<<20)
	panic(http.ErrAbortHandler)
}

// What was confirmed is not sent again, whatever breaks.
func TestUploadGoesOnWhereItBroke(t *testing.T) {
	t.Parallel()
	const piece = api.AppendBytes
	data := noise(2*piece + 1000)
	const first, second, third = "PATCH /api/v2/objects 0", "PATCH /api/v2/objects 8388608", "PATCH /api/v2/objects 16777216"
	const ask, end = "HEAD /api/v2/objects", "PATCH /api/v2/objects 16778216"
	busy := apitest.Fault{Path: "/objects", Status: 503, Code: "unavailable", Detail: "try again"}
	for name, tt := range map[string]struct {
		after  int // pieces that pass before the faults
		faults []apitest.Fault
		want   []string
	}{
		"nothing":          {0, nil, []string{first, second, third}},
		"first cut":        {0, []apitest.Fault{{Path: "/objects", Handler: half}}, []string{first, ask, first, second, third}},
		"second busy":      {1, []apitest.Fault{busy, busy}, []string{first, second, ask, second, third}},
		"answer lost":      {1, []apitest.Fault{{Path: "/objects", Lost: true}}, []string{first, second, ask, third}},
		"last answer lost": {2, []apitest.Fault{{Path: "/objects", Lost: true}}, []string{first, second, third, ask, end}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := setup(t)
			for range tt.after {
				s.Break(apitest.Fault{Path: "/objects", CutAfter: 1 << 30})
			}
			for _, f := range tt.faults {
				s.Break(f)
			}
			g, sent := s.PutGrant(), 0
			up, err := c.Objects.Upload(t.Context(), g, iotest.HalfReader(bytes.NewReader(data)), func(n int) { sent += n })
			if err != nil || up.Size != int64(len(data)) || !bytes.Equal(s.Stored(g), data) || sent != len(data) {
				t.Fatalf("Upload = %+v, %v, with %d bytes of progress", up, err, sent)
			}
			if diff := cmp.Diff(tt.want, s.Requests()); len(tt.want) > 0 && diff != "" {
				t.Errorf("requests: -want +got\n%s", diff)
			}
		})
	}
}

func TestUploadGivesUp(t *testing.T) {
	t.Parallel()
	s, c := setup(t, func(cfg *api.Config) { cfg.RetryFor = time.Second })
	s.Break(apitest.Fault{Path: "/objects", Handler: half, Times: 100})
	if _, err := c.Objects.Upload(t.Context(), s.PutGrant(), bytes.NewReader(noise(3<<20)), nil); err == nil || len(s.Requests()) > 10 {
		t.Errorf("Upload = %v after %d tries, want an error after at most 10", err, len(s.Requests()))
	}
}

func TestUploadNoticesWhatWasStored(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	s.Break(apitest.Fault{Path: "/objects", Handler: func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"object_id":"x","size":3,"sha256":"00"}`)
	}})
	if _, err := c.Objects.Upload(t.Context(), s.PutGrant(), strings.NewReader("abc"), nil); !errors.Is(err, api.ErrCorrupt) {
		t.Errorf("Upload = %v, want %v", err, api.ErrCorrupt)
	}
}

// A server that forgets what it confirmed must not make a file with a hole.
func TestUploadNoticesAServerThatForgets(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	s.Break(apitest.Fault{Path: "/objects", CutAfter: 1 << 30})
	s.Break(apitest.Fault{Path: "/objects", Handler: half})
	s.Break(apitest.Fault{Path: "/objects", Handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(api.OffsetHeader, "0")
		w.WriteHeader(http.StatusNoContent)
	}})
	_, err := c.Objects.Upload(t.Context(), s.PutGrant(), bytes.NewReader(noise(2*api.AppendBytes)), nil)
	if !errors.Is(err, api.ErrCorrupt) {
		t.Errorf("Upload = %v, want %v", err, api.ErrCorrupt)
	}
}

func TestUploadOfWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	cause := errors.New("input/output error")
	for _, n := range []int{1000, api.AppendBytes + 1} {
		if _, err := c.Objects.Upload(t.Context(), s.PutGrant(), &breaking{n: n, err: cause}, nil); !errors.Is(err, cause) {
			t.Errorf("Upload = %v, want %v", err, cause)
		}
	}
	if n := len(s.Requests()); n != 1 {
		t.Errorf("%d requests, want that of the one whole piece", n)
	}
}

func TestUploadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := c.Objects.Upload(ctx, s.PutGrant(), io.LimitReader(zeros{}, 1<<40), func(int) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Upload = %v, want %v", err, context.Canceled)
	}
}

// However often its parts are sent, a submit is one build.
func TestSubmitSurvivesLostAnswers(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	for _, path := range []string{"/uploads", "/objects", "/builds"} {
		s.Break(apitest.Fault{Path: path, Lost: true})
	}
	sub, err := c.Builds.Submit(t.Context(), api.Submit{Platform: "android", Source: strings.NewReader("x"), Certs: strings.NewReader("c")})
	if err != nil || len(s.Submissions()) != 1 {
		t.Fatalf("Submit = %v with %d submitted, want 1", err, len(s.Submissions()))
	}
	if b, err := c.Builds.Get(t.Context(), sub.ID); err != nil || b.Platform != "android" {
		t.Errorf("Build = %+v, %v", b, err)
	}
	posts := slices.DeleteFunc(s.Requests(), func(r string) bool { return r != "POST /api/v2/builds" })
	if len(posts) != 2 {
		t.Errorf("%d submits, want 2", len(posts))
	}
}
