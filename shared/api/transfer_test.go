package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
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

func TestDownloadGoesOnWhereItBroke(t *testing.T) {
	t.Parallel()
	var broke []string
	s, c := setup(t, func(cfg *api.Config) {
		cfg.OnRetry = func(err error, _ time.Duration) { broke = append(broke, err.Error()) }
	})
	data := noise(1 << 20)
	s.Add(api.Build{ID: "b1", Status: "completed"}, data)
	b, err := c.Builds.Get(t.Context(), "b1")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.Break(apitest.Fault{Path: "/result", CutAfter: 200_000})
	}
	s.Break(apitest.Fault{Path: "/result", Status: 503, Code: "unavailable", Detail: "try again"})
	var out bytes.Buffer
	moved := 0
	if err := c.Builds.DownloadResult(t.Context(), b, &out, 0, nil, func(n int) { moved += n }); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), data) || moved != len(data) || len(broke) != 4 {
		t.Errorf("got %d bytes, %d by progress, after %q, want %d after 4 breaks", out.Len(), moved, broke, len(data))
	}
	if asked := s.Requests(); !strings.Contains(asked[2], "bytes=2") {
		t.Errorf("requests = %q, want the second with a range", asked)
	}
}

// A part from an earlier run is hashed with the rest.
func TestDownloadFromAnOffset(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	data := noise(100_000)
	s.Add(api.Build{ID: "b1", Status: "completed"}, data)
	b, err := c.Builds.Get(t.Context(), "b1")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		part []byte
		want error
	}{{"right", data[:40_000], nil}, {"wrong", noise(50_000)[10_000:], api.ErrCorrupt}, {"whole", data, nil}} {
		out, seen := bytes.NewBuffer(slices.Clone(tt.part)), sha256.New()
		seen.Write(tt.part)
		if err := c.Builds.DownloadResult(t.Context(), b, out, int64(len(tt.part)), seen, nil); !errors.Is(err, tt.want) {
			t.Errorf("%s: Download = %v, want %v", tt.name, err, tt.want)
		}
		if tt.want == nil && !bytes.Equal(out.Bytes(), data) {
			t.Errorf("%s: not the bytes of the result", tt.name)
		}
	}
}

func TestServersThatAnswerRangesOtherwise(t *testing.T) {
	t.Parallel()
	data := noise(100_000)
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    error
	}{
		{"from the start", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) }, nil},
		{"too far on", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 90000-99999/100000")
			w.WriteHeader(http.StatusPartialContent)
		}, api.ErrCorrupt},
		{"nonsense", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusPartialContent) }, api.ErrCorrupt},
		{"too much", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(append(data[:len(data):len(data)], 1)) }, api.ErrCorrupt},
		{"other bytes", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte{9}, len(data))) }, api.ErrCorrupt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, c := setup(t)
			s.Add(api.Build{ID: "b1", Status: "completed"}, data)
			b, err := c.Builds.Get(t.Context(), "b1")
			if err != nil {
				t.Fatal(err)
			}
			s.Break(apitest.Fault{Path: "/result", CutAfter: 50_000})
			s.Break(apitest.Fault{Path: "/result", Handler: tt.handler})
			var out bytes.Buffer
			err = c.Builds.DownloadResult(t.Context(), b, &out, 0, nil, nil)
			if !errors.Is(err, tt.want) || tt.want == nil && !bytes.Equal(out.Bytes(), data) {
				t.Errorf("Download = %v, %d bytes; want %v", err, out.Len(), tt.want)
			}
		})
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

var errFull = errors.New("no space left on device")

func TestDownloadGivesUp(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T, fault *apitest.Fault) (*apitest.Server, *api.Client, api.Build) {
		s, c := setup(t, func(cfg *api.Config) { cfg.StallTimeout, cfg.RetryFor = 100*time.Millisecond, 300*time.Millisecond })
		s.Add(api.Build{ID: "b1", Status: "completed"}, noise(1000))
		b, err := c.Builds.Get(t.Context(), "b1")
		if err != nil {
			t.Fatal(err)
		}
		if fault != nil {
			s.Break(*fault)
		}
		return s, c, b
	}
	t.Run("disk full", func(t *testing.T) {
		t.Parallel()
		s, c, b := setup(t, nil)
		if err := c.Builds.DownloadResult(t.Context(), b, fullDisk{}, 0, nil, nil); !errors.Is(err, errFull) || len(s.Requests()) != 2 {
			t.Errorf("Download = %v after %q, want %v at once", err, s.Requests(), errFull)
		}
	})
	t.Run("silence", func(t *testing.T) {
		t.Parallel()
		_, c, b := setup(t, &apitest.Fault{Path: "/result", Silent: true, Times: 100})
		if err := c.Builds.DownloadResult(t.Context(), b, io.Discard, 0, nil, nil); !errors.Is(err, api.ErrStalled) {
			t.Errorf("Download = %v, want %v", err, api.ErrStalled)
		}
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		s, c, b := setup(t, &apitest.Fault{Path: "/result", Status: 404, Code: "object_not_found", Detail: "gone"})
		if err := c.Builds.DownloadResult(t.Context(), b, io.Discard, 0, nil, nil); !errors.Is(err, build.ErrObjectNotFound) || len(s.Requests()) != 2 {
			t.Errorf("Download = %v after %q, want %v at once", err, s.Requests(), build.ErrObjectNotFound)
		}
	})
	t.Run("busy for too long", func(t *testing.T) {
		t.Parallel()
		_, c, b := setup(t, &apitest.Fault{Path: "/result", Status: 503, Code: "unavailable", Detail: "later", RetryAfter: 60})
		if err := c.Builds.DownloadResult(t.Context(), b, io.Discard, 0, nil, nil); !errors.Is(err, build.ErrUnavailable) {
			t.Errorf("Download = %v, want %v", err, build.ErrUnavailable)
		}
	})
	t.Run("no result", func(t *testing.T) {
		t.Parallel()
		_, c, _ := setup(t, nil)
		if err := c.Builds.DownloadResult(t.Context(), api.Build{ID: "b2"}, io.Discard, 0, nil, nil); !errors.Is(err, api.ErrNoResult) {
			t.Errorf("Download = %v, want %v", err, api.ErrNoResult)
		}
	})
}

func TestGrants(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	data := noise(500_000)
	object := apitest.Object("", data)
	t.Run("get", func(t *testing.T) {
		t.Parallel()
		g := s.Grant(data)
		var out bytes.Buffer
		if err := c.Objects.Download(t.Context(), g, &out, object.Size, object.SHA256); err != nil || !bytes.Equal(out.Bytes(), data) {
			t.Errorf("Get = %v, %d bytes", err, out.Len())
		}
		g.URL = s.URL + g.URL // as a presigned one would be
		if err := c.Objects.Download(t.Context(), g, io.Discard, 0, ""); err != nil {
			t.Errorf("Get from an absolute address = %v", err)
		}
		if err := c.Objects.Download(t.Context(), g, io.Discard, object.Size, strings.Repeat("0", 64)); !errors.Is(err, api.ErrCorrupt) {
			t.Errorf("Get with another sum = %v, want %v", err, api.ErrCorrupt)
		}
	})
	t.Run("upload", func(t *testing.T) {
		t.Parallel()
		g := s.PutGrant()
		want := api.Uploaded{ObjectID: g.Headers[api.TicketHeader], Size: object.Size, SHA256: object.SHA256}
		up, err := c.Objects.Upload(t.Context(), g, bytes.NewReader(data), nil)
		if diff := cmp.Diff(want, up); err != nil || diff != "" || !bytes.Equal(s.Stored(g), data) {
			t.Errorf("Upload = %v, differs (-want +got):\n%s", err, diff)
		}
		if up, err := c.Objects.Upload(t.Context(), s.PutGrant(), bytes.NewReader(nil), nil); err != nil || up.Size != 0 {
			t.Errorf("Upload of nothing = %+v, %v", up, err)
		}
	})
	t.Run("a ticket that is not valid", func(t *testing.T) {
		t.Parallel()
		_, err := c.Objects.Upload(t.Context(), api.Grant{URL: api.ObjectsPath}, bytes.NewReader(data), nil)
		if !errors.Is(err, build.ErrUnauthorized) {
			t.Errorf("Upload = %v, want %v", err, build.ErrUnauthorized)
		}
	})
}

func TestDownloadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	s.Add(api.Build{ID: "b1", Status: "completed"}, noise(1<<20))
	b, err := c.Builds.Get(t.Context(), "b1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := c.Builds.DownloadResult(ctx, b, io.Discard, 0, nil, func(int) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("Download = %v, want %v", err, context.Canceled)
	}
}
