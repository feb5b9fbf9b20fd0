package daemon_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/daemon"
)

// TestLeavesBeforeItStops: after a stop was asked for, it is not ready and still serves, and each answer ends its connection.
func TestLeavesBeforeItStops(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once: its port is free then
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	idle := func(ctx context.Context) error { <-ctx.Done(); return nil }
	go func() {
		ended <- daemon.Serve(ctx, daemon.Listen{Address: address, Drain: time.Second}, hello, idle, slog.New(slog.DiscardHandler))
	}()
	ask := func(path string) (status int, closes bool) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, false
		}
		defer resp.Body.Close()
		return resp.StatusCode, resp.Close
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		if status, closes := ask("/readyz"); status == http.StatusOK && !closes {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not serve")
		}
	}
	stop()
	if status, _ := ask("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz = %d while it leaves, want 503", status)
	}
	if status, closes := ask("/"); status != http.StatusOK || !closes {
		t.Errorf("/ = %d, connection ends: %v, while it leaves; want 200 and true", status, closes)
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve = %v", err)
	}
	if status, _ := ask("/"); status != 0 {
		t.Errorf("/ = %d after the end, want none", status)
	}
}
