package embedbus

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

// reconnected counts a client's returns.
func (b *bundle) returning(id string) (*nats.Conn, <-chan struct{}) {
	b.t.Helper()
	nc := b.worker(id)
	back := make(chan struct{}, 100)
	nc.SetReconnectHandler(func(*nats.Conn) { back <- struct{}{} })
	return nc, back
}

func wait(t *testing.T, back <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-back:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: the worker did not come back", what)
	}
}

// TestCredentialsAreRenewed: the server cuts the connection when its JWT ends, and the client comes back by itself, again
// and again.
func TestCredentialsAreRenewed(t *testing.T) {
	t.Parallel()
	b := setupTTL(t, 2*time.Second)
	nc, back := b.returning("w1")
	wait(t, back, "first expiry")
	wait(t, back, "second expiry")
	js, err := bus.JetStream(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), bus.LogSubject("w1", "b1", 1), []byte("x")); err != nil {
		t.Errorf("log after a renewal: %v", err)
	}
}

// TestWorkerOutlivesTheCallout: refused for want of somebody to ask, more than twice, a worker still comes back later.
func TestWorkerOutlivesTheCallout(t *testing.T) {
	t.Parallel()
	b := setupTTL(t, time.Second)
	_, back := b.returning("w1")
	b.stop()
	for refusals := 0; refusals < 3; {
		select {
		case err := <-b.denied:
			if errors.Is(err, nats.ErrAuthorization) {
				refusals++
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("refused %d times, want 3", refusals)
		}
	}
	for len(back) > 0 { // renewals before the callout was gone
		<-back
	}
	b.runCallout()
	wait(t, back, "callout is back")
}
