package httpx_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/observe"
)

func TestStallTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, moved, stop := httpx.WithStallTimeout(t.Context())
		defer stop()
		r := httpx.ProgressReader{Reader: iotest.OneByteReader(strings.NewReader("abc")), Moved: moved}
		for range 3 { // slow, and alive
			<-time.After(httpx.TransferStallTimeout - time.Second)
			if _, err := r.Read(make([]byte, 1)); err != nil || ctx.Err() != nil {
				t.Fatalf("after a byte: %v, %v", err, ctx.Err())
			}
		}
		begin := time.Now()
		<-ctx.Done()
		if took := time.Since(begin); took != httpx.TransferStallTimeout || !errors.Is(context.Cause(ctx), httpx.ErrStalled) {
			t.Errorf("ended after %s by %v", took, context.Cause(ctx))
		}
	})
}

// TestStallReader reads a body whose client goes silent, over a real connection.
func TestStallReader(t *testing.T) {
	t.Parallel()
	read := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := httpx.NewStallReader(w, r, 50*time.Millisecond)
		defer body.Stop()
		_, err := io.ReadAll(body)
		read <- err
	}))
	t.Cleanup(server.Close)
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-read:
		if !httpx.IsStalled(err) {
			t.Errorf("read = %v, want a stall", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the read does not end")
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	for sent, kept := range map[string]bool{"r-1": true, "": false, "no good": false} {
		var inside string
		h := httpx.WithRequestID(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inside = observe.RequestID(r.Context()) }))
		w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.Header.Set(httpx.RequestIDHeader, sent)
		h.ServeHTTP(w, r)
		if got := w.Header().Get(httpx.RequestIDHeader); got == "" || got != inside || (got == sent) != kept {
			t.Errorf("id %q: answered %q, inside %q", sent, got, inside)
		}
	}
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	kind, cause := errors.New("kind"), errors.New("cause")
	err := httpx.Because(kind, cause, "no such %s", "thing")
	if err.Error() != "no such thing" || !errors.Is(err, kind) || !errors.Is(err, cause) {
		t.Errorf("refusal = %v", err)
	}
}
