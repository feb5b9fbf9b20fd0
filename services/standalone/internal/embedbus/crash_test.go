package embedbus

import (
	"bufio"
	"context"
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
		fact := wrapperspb.Int64(int64(i))
		m, err := bus.NewMessage(context.Background(), "crash", bus.BuildSubject("b1", bus.Queued), time.Now(), fact)
		if err != nil {
			return err
		}
		if _, err := bus.PublishAll(context.Background(), js, []bus.Message{m.WithID(strconv.Itoa(i))}); err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, i) // acknowledged
	}
}

// open starts a server on dir with our topology.
func open(dir string) (*Server, jetstream.JetStream, error) {
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
	return s, js, bus.Ensure(ctx, js, bus.NewTopology(1))
}

// TestKilledServerLosesNothing: every acknowledged message is there after SIGKILL, in order, at the same address.
func TestKilledServerLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acked := 0
	for range 3 {
		acked = max(acked, crash(t, dir, 100))
	}
	port := rememberedPort(dir)
	s, js, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.port() != port {
		t.Errorf("port %d, want %d as before the crash", s.port(), port)
	}
	stream, err := js.Stream(t.Context(), bus.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	// A later process repeats the ids of the first, so the stream holds 1..n, each once.
	n := stream.CachedInfo().State.Msgs
	if n < uint64(acked) {
		t.Fatalf("%d messages, %d were acknowledged", n, acked)
	}
	for seq := range n {
		m, err := stream.GetMsg(t.Context(), seq+1)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := m.Header.Get(bus.HeaderID), strconv.FormatUint(seq+1, 10); got != want {
			t.Fatalf("message %d has id %s", seq+1, got)
		}
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
