package objects_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/objects/objectstest"
)

// The far end is faked here only for what a healthy server never answers; the
// store's proper behaviour is tested by objectstest against a real one.

func setup(t *testing.T, stall time.Duration, answer http.HandlerFunc) *objects.S3 {
	t.Helper()
	srv := httptest.NewServer(answer)
	t.Cleanup(srv.Close)
	store, err := objects.New(objects.Config{
		Endpoint: strings.TrimPrefix(srv.URL, "http://"), AccessKey: "key", SecretKey: "very-secret", Bucket: "bucket",
		StallTimeout: stall, Timeout: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func fault(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
}

func TestFullStore(t *testing.T) {
	t.Parallel()
	for code, status := range map[string]int{"InsufficientStorage": 507, "XMinioStorageFull": 507, "QuotaExceeded": 403, "Other": 507} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			aborted := false
			store := setup(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				switch {
				case r.Method == http.MethodPost && r.URL.Query().Has("uploads"):
					fmt.Fprint(w, "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>")
				case r.Method == http.MethodDelete && r.URL.Query().Get("uploadId") == "u1":
					mu.Lock()
					aborted = true
					mu.Unlock()
					w.WriteHeader(http.StatusNoContent)
				case r.Method == http.MethodDelete:
					t.Errorf("a refused put must not remove what was there: %s", r.URL)
				default:
					fault(w, status, code)
				}
			})
			for _, n := range []int{10, objects.PartSize + 10} {
				_, err := store.Put(t.Context(), "k", bytes.NewReader(objectstest.Bytes(n)), -1, 0)
				if !errors.Is(err, objects.ErrNoSpace) {
					t.Errorf("Put(%d bytes) = %v, want ErrNoSpace", n, err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if !aborted {
				t.Error("the multipart upload was not aborted")
			}
		})
	}
}

func TestDownloadStalls(t *testing.T) {
	t.Parallel()
	store := setup(t, 100*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		io.WriteString(w, "some")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	rc, _, err := store.Get(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatalf("Get = %v", err)
	}
	defer rc.Close()
	if got, err := io.ReadAll(rc); string(got) != "some" || !errors.Is(err, objects.ErrStalled) {
		t.Errorf("read = %q, %v, want the first bytes and ErrStalled", got, err)
	}
}

func TestUploadStalls(t *testing.T) {
	t.Parallel()
	store := setup(t, 100*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	if _, err := store.Put(t.Context(), "k", strings.NewReader("x"), 1, 0); !errors.Is(err, objects.ErrStalled) {
		t.Errorf("Put to a silent store = %v, want ErrStalled", err)
	}
	pr, pw := io.Pipe()
	defer pw.Close()
	if _, err := store.Put(t.Context(), "k", pr, -1, 0); !errors.Is(err, objects.ErrStalled) {
		t.Errorf("Put from a silent source = %v, want ErrStalled", err)
	}
}

func TestLostAnswerRemovesTheObject(t *testing.T) {
	t.Parallel()
	removed := make(chan string, 1)
	store := setup(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodDelete {
			removed <- r.URL.Path
			w.WriteHeader(http.StatusNoContent)
			return
		}
		panic(http.ErrAbortHandler) // stored, perhaps, and the connection cut
	})
	if _, err := store.Put(t.Context(), "k", strings.NewReader("x"), 1, 0); err == nil {
		t.Error("Put = nil, want an error")
	}
	select {
	case path := <-removed:
		if path != "/bucket/k" {
			t.Errorf("removed %s, want /bucket/k", path)
		}
	case <-time.After(5 * time.Second):
		t.Error("the object was not removed")
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	endpoint := strings.TrimPrefix(srv.URL, "http://")
	srv.Close()
	store, err := objects.New(objects.Config{Endpoint: endpoint, AccessKey: "key", SecretKey: "very-secret", Bucket: "b-1", Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	err = store.EnsureBucket(t.Context())
	if err == nil || !strings.Contains(err.Error(), endpoint) || strings.Contains(err.Error(), "very-secret") {
		t.Errorf("EnsureBucket = %v, want an error with the endpoint and no secret", err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := objects.New(objects.Config{})
	for _, field := range []string{"Endpoint", "AccessKey", "SecretKey", "Bucket"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("New of an empty Config = %v, want it to name %s", err, field)
		}
	}
}

func TestFaultWrappers(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	store := setup(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead || r.Method == http.MethodGet {
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			w.Header().Set("Content-Length", "1")
			if r.Method == http.MethodGet {
				io.WriteString(w, "x")
			}
		}
	})
	reads := objectstest.WithFailure(store, func(op objectstest.Op, _ string) error {
		if op == objectstest.OpRead {
			return broken
		}
		return nil
	})
	f, err := reads.Open(t.Context(), "k")
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, broken) {
		t.Errorf("ReadAt = %v, want the injected error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := objectstest.WithDelay(store, time.Hour).Stat(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("delayed Stat = %v, want Canceled", err)
	}
}
