package embedbus

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

// TestRestart: connections of the process and workers' come back to the same address, and what was stored is there.
func TestRestart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, back := b.returning("w1")
	inside := make(chan struct{}, 10)
	b.services.SetReconnectHandler(func(*nats.Conn) { inside <- struct{}{} })
	if _, err := b.js.Publish(t.Context(), bus.LogSubject("w1", "b1", 1), []byte("x")); err != nil {
		t.Fatal(err)
	}
	url := b.URL("127.0.0.1")
	b.failures.note("JetStream failed to store a msg on stream 'FA > BUILD_LOGS': no space left on device")
	if err := b.Failed(); !errors.Is(err, ErrStore) || !strings.Contains(err.Error(), "BUILD_LOGS") {
		t.Errorf("Failed = %v, want the stream", err)
	}
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	wait(t, inside, "a connection of the process")
	wait(t, back, "a worker")
	if err := b.Failed(); err != nil {
		t.Errorf("Failed = %v after a restart", err)
	}
	if now := b.URL("127.0.0.1"); now != url {
		t.Errorf("URL = %s, was %s", now, url)
	}
	stream, err := b.js.Stream(t.Context(), bus.LogsStream)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d messages after a restart, want 1", n)
	}
}

// TestAFailureIsRememberedOverAKill: the next server reads its blocks and not the index, which counts what was never written.
func TestAFailureIsRememberedOverAKill(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for text, failure := range map[string]bool{
		"Filestore [BUILD_LOGS] something":                                  false,
		"JetStream stream 'FA > BUILD_LOGS' critical write error: no space": true,
		"JetStream out of space, will be DISABLED":                          true,
	} {
		b.failures.clear()
		if b.failures.note(text); (b.failures.get() != nil) != failure {
			t.Errorf("%q is a failure: want %v", text, failure)
		}
	}
	b.Close()
	index := filepath.Join(b.cfg.Dir, "jetstream", Account, "streams", bus.EventsStream, "msgs", "index.db")
	if _, err := os.Stat(index); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []bool{true, false} { // it is remembered until it was dealt with
		if err := os.WriteFile(index, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := rebuildIfFailed(b.cfg.Dir); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(index); os.IsNotExist(err) != gone {
			t.Errorf("index gone: %v, want %v", os.IsNotExist(err), gone)
		}
	}
}
