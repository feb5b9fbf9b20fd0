package embedbus

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

// crashDir makes this test binary a server that publishes until it is killed.
const crashDir = "EMBEDBUS_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := publishForever(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func publishForever(dir string) error {
	s, js, err := open(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	for i := 1; ; i++ {
		msgs, err := both(i)
		if err != nil {
			return err
		}
		if _, err := bus.PublishAll(context.Background(), js, msgs); err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, i) // acknowledged
	}
}

// both is the event i and the control plane's log line i.
func both(i int) ([]bus.Message, error) {
	event, err1 := bus.NewMessage(context.Background(), "crash", bus.BuildSubject("b1", bus.Queued), time.Now(), wrapperspb.Int64(int64(i)))
	line, err2 := bus.NewMessage(context.Background(), "crash", bus.LogSubject(bus.System, "b1", 1), time.Now(), wrapperspb.Int64(int64(i)))
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return []bus.Message{event.WithID(strconv.Itoa(i)), line.WithID(strconv.Itoa(i))}, nil
}

// open starts a server on dir with our topology.
func open(dir string) (*Server, jetstream.JetStream, error) {
	return openWith(dir, bus.NewTopology(1).AsyncTelemetry())
}

// openWith starts a server on dir with these streams.
func openWith(dir string, topology bus.Topology) (*Server, jetstream.JetStream, error) {
	issuer, err := nkeys.CreateAccount()
	if err != nil {
		return nil, nil, err
	}
	public, err := issuer.PublicKey()
	if err != nil {
		return nil, nil, err
	}
	s, err := Start(Config{Dir: dir, Listen: "127.0.0.1:0", Issuer: public, Log: quiet})
	if err != nil {
		return nil, nil, err
	}
	nc, err := s.Connect("test", quiet)
	if err != nil {
		return nil, nil, err
	}
	js, err := bus.JetStream(nc)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return s, js, bus.Ensure(ctx, js, topology)
}

// TestKilledServerLosesNothing: every acknowledged event and log line is there after SIGKILL, in order, at the same address.
func TestKilledServerLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lossless(t, dir)
	s, _, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if port := rememberedPort(dir); s.port() != port || port == 0 {
		t.Errorf("port %d, want %d as before the crash", s.port(), port)
	}
}

// TestKilledServerLosesNothingAfterAnUpgrade is the same on the directory of v0.1.0, which let BUILD_LOGS be acknowledged before
// it was written. What lies in it stays.
func TestKilledServerLosesNothingAfterAnUpgrade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, js, err := openWith(dir, asV010())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), bus.LogSubject("w1", "b0", 1), []byte("old")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	lossless(t, dir)
	s, js, err = open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stream, err := js.Stream(t.Context(), bus.LogsStream)
	if err != nil {
		t.Fatal(err)
	}
	if mode := stream.CachedInfo().Config.PersistMode; mode != jetstream.DefaultPersistMode {
		t.Errorf("persist mode of the logs = %v", mode)
	}
	if m, err := stream.GetLastMsgForSubject(t.Context(), bus.LogSubject("w1", "b0", 1)); err != nil || string(m.Data) != "old" {
		t.Errorf("line of v0.1.0 = %v, %v", m, err)
	}
}

// asV010 are the streams that a standalone server of v0.1.0 creates.
func asV010() bus.Topology {
	topology := bus.NewTopology(1).AsyncTelemetry()
	for i, s := range topology.Streams {
		if s.Name == bus.LogsStream {
			topology.Streams[i].PersistMode = jetstream.AsyncPersistMode
		}
	}
	return topology
}

// lossless kills a server on dir three times and looks for every message that it acknowledged.
func lossless(t *testing.T, dir string) {
	t.Helper()
	acked := 0
	for range 3 {
		acked = max(acked, crash(t, dir, 100))
	}
	s, js, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	inOrder(t, js, bus.EventsStream, bus.BuildSubject("b1", bus.Queued), acked)
	inOrder(t, js, bus.LogsStream, bus.LogSubject(bus.System, "b1", 1), acked)
}

// inOrder wants messages 1..n of the subject, each once: a later process repeats the ids of the first.
func inOrder(t *testing.T, js jetstream.JetStream, name, subject string, acked int) {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	state, seen := stream.CachedInfo().State, 0
	for seq := state.FirstSeq; seq <= state.LastSeq && state.Msgs > 0; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject != subject {
			continue
		}
		seen++
		if got, want := m.Header.Get(bus.HeaderID), strconv.Itoa(seen); got != want {
			t.Fatalf("%s: message %s follows number %d", name, got, seen-1)
		}
	}
	if seen < acked {
		t.Fatalf("%s: %d messages, %d were acknowledged", name, seen, acked)
	}
}

// crash runs a server until it has acknowledged n messages, kills it, and gives the last number that it acknowledged.
func crash(t *testing.T, dir string, n int) (acked int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe) // cancelled by SIGKILL
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for count := 0; lines.Scan(); {
		i, err := strconv.Atoi(lines.Text())
		if err != nil {
			continue // half a line at the end
		}
		acked = max(acked, i)
		if count++; count == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || acked < n {
		t.Fatalf("the server ended by itself after %d messages: %v\n%s", acked, err, stderr.String())
	}
	return acked
}
