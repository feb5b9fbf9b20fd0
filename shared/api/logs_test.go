package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/api/apitest"
	"github.com/expo-free-agent/freeagent/shared/build"
)

func numbered(n int) (lines []string) {
	for i := range n {
		lines = append(lines, fmt.Sprintf("line %d", i))
	}
	return lines
}

func TestLogs(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	s.Add(api.Build{ID: "b1", Status: "building"}, nil, numbered(100)...)
	var got []string
	take := func(l api.LogLine) error { got = append(got, l.Text); return nil }
	if err := c.Builds.ReadLog(t.Context(), "b1", take); err != nil || !slices.Equal(got, numbered(100)) {
		t.Errorf("Logs = %v, %d lines", err, len(got))
	}
	s.Break(apitest.Fault{Path: "/logs", CutAfter: 500})
	if err := c.Builds.ReadLog(t.Context(), "b1", take); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Logs of half an answer = %v, want %v", err, io.ErrUnexpectedEOF)
	}
	enough := errors.New("enough")
	if err := c.Builds.ReadLog(t.Context(), "b1", func(api.LogLine) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("Logs = %v, want %v", err, enough)
	}
	if err := c.Builds.ReadLog(t.Context(), "b2", take); !errors.Is(err, build.ErrNotFound) {
		t.Errorf("Logs of an unknown build = %v, want %v", err, build.ErrNotFound)
	}
}

// Every line once and in order, whatever happens to the connection.
func TestFollowedLogIsWhole(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	s.Add(api.Build{ID: "b1", Status: "building"}, nil, numbered(10)...)
	for _, cut := range []int{0, 300, 900, 333} {
		s.Break(apitest.Fault{Path: "/logs", CutAfter: cut})
	}
	s.Break(apitest.Fault{Path: "/logs", Status: 503, Code: "too_many_followers", Detail: "too many"})
	var got []string
	b, err := c.Builds.FollowLog(t.Context(), "b1", func(l api.LogLine) error {
		if got = append(got, l.Text); len(got) < 60 {
			s.Log("b1", fmt.Sprintf("line %d", len(got)+9))
		}
		if len(got) == 60 {
			s.Finish("b1", "completed", []byte("x"))
		}
		return nil
	})
	if err != nil || b.Status != "completed" || b.Result == nil {
		t.Fatalf("FollowLog = %+v, %v", b, err)
	}
	if diff := cmp.Diff(numbered(69), got); diff != "" {
		t.Errorf("lines differ (-want +got):\n%s", diff)
	}
	if asked := s.Requests(); len(asked) != 6 {
		t.Errorf("requests = %q, want 6", asked)
	}
}

func TestFollowEnds(t *testing.T) {
	t.Parallel()
	impatient := func(cfg *api.Config) { cfg.StallTimeout, cfg.RetryFor = 50*time.Millisecond, 200*time.Millisecond }
	none := func(api.LogLine) error { return nil }
	t.Run("by its consumer", func(t *testing.T) {
		t.Parallel()
		s, c := setup(t)
		s.Add(api.Build{ID: "b1", Status: "building"}, nil, numbered(3)...)
		enough := errors.New("enough")
		if _, err := c.Builds.FollowLog(t.Context(), "b1", func(api.LogLine) error { return enough }); err != enough { //nolint:errorlint // as it is
			t.Errorf("FollowLog = %v, want %v", err, enough)
		}
	})
	t.Run("by its context", func(t *testing.T) {
		t.Parallel()
		s, c := setup(t)
		s.Add(api.Build{ID: "b1", Status: "building"}, nil, numbered(3)...)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if _, err := c.Builds.FollowLog(ctx, "b1", func(api.LogLine) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("FollowLog = %v, want %v", err, context.Canceled)
		}
	})
	t.Run("without a build", func(t *testing.T) {
		t.Parallel()
		_, c := setup(t)
		if _, err := c.Builds.FollowLog(t.Context(), "b1", none); !errors.Is(err, build.ErrNotFound) {
			t.Errorf("FollowLog = %v, want %v", err, build.ErrNotFound)
		}
	})
	t.Run("when a quiet line does not come back", func(t *testing.T) {
		t.Parallel()
		s, c := setup(t, impatient)
		s.Add(api.Build{ID: "b1", Status: "building"}, nil)
		if _, err := c.Builds.FollowLog(t.Context(), "b1", none); !errors.Is(err, api.ErrStalled) {
			t.Errorf("FollowLog = %v, want %v", err, api.ErrStalled)
		}
	})
	t.Run("with what is no log", func(t *testing.T) {
		t.Parallel()
		for _, body := range []string{"event: log\ndata: {\n\n", "event: end\ndata: []\n\n", "data: " + strings.Repeat("x", 2<<20)} {
			s, c := setup(t, impatient)
			s.Break(apitest.Fault{Times: 100, Handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }})
			if _, err := c.Builds.FollowLog(t.Context(), "b1", none); err == nil {
				t.Errorf("FollowLog of %.20q = nil, want an error", body)
			}
		}
	})
}

// The format allows more than our server makes use of.
func TestEventsOfOtherMakes(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	s.Break(apitest.Fault{Handler: func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, ": hello\r\n\r\nevent:log\r\nid:7\r\ndata:{\"text\":\r\ndata:\"one\"}\r\nretry: 5\r\n\r\nevent: news\ndata: ?\n\nevent: end\ndata: {\"id\":\"b1\",\"status\":\"failed\"}\n\n")
	}})
	var got []string
	b, err := c.Builds.FollowLog(t.Context(), "b1", func(l api.LogLine) error { got = append(got, l.Text); return nil })
	if err != nil || b.Status != "failed" || !slices.Equal(got, []string{"one"}) {
		t.Errorf("FollowLog = %+v, %v, lines %q", b, err, got)
	}
}
