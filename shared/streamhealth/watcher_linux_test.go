package streamhealth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/streamhealth"
)

// nodes are servers that replicate, each on a disk of its own.
type nodes struct {
	t       *testing.T
	dirs    []string
	ports   []int
	routes  []*url.URL
	servers []*server.Server
}

func startNodes(t *testing.T, count, megabytes int) *nodes {
	t.Helper()
	n := &nodes{t: t, servers: make([]*server.Server, count)}
	ports := freePorts(t, 2*count)
	for _, port := range ports[:count] {
		n.routes = append(n.routes, &url.URL{Scheme: "nats-route", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	n.ports = ports[count:]
	for range n.servers {
		disk := t.TempDir()
		if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
			t.Skipf("a small disk can only be mounted by root: %v", err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
				t.Errorf("unmount the small disk: %v", err)
			}
		})
		n.dirs = append(n.dirs, disk)
	}
	for i := range n.servers {
		n.start(i)
	}
	t.Cleanup(func() {
		for i := range n.servers {
			n.stop(i)
		}
	})
	return n
}

// nextPort counts the ports that freePorts has looked at.
var nextPort atomic.Int64

// freePorts returns ports that no other test of this process gets. They are below those that the kernel gives to clients, so that a node which was
// stopped gets its own again.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	const from, to = 20_000, 30_000
	for range to - from {
		port := from + int((int64(os.Getpid())*37+nextPort.Add(1))%(to-from))
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil && l.Close() == nil {
			ports = append(ports, port)
		}
		if len(ports) == n {
			return ports
		}
	}
	t.Fatalf("no %d free ports between %d and %d", n, from, to)
	return nil
}

func (n *nodes) start(i int) {
	n.t.Helper()
	routes, err := strconv.Atoi(n.routes[i].Port())
	if err != nil {
		n.t.Fatal(err)
	}
	o := &server.Options{
		ServerName: fmt.Sprintf("node-%d", i+1), Host: "127.0.0.1", Port: n.ports[i], JetStream: true, StoreDir: filepath.Join(n.dirs[i], "store"),
		JetStreamMaxStore: 1 << 30, NoSigs: true, NoLog: true,
	}
	if len(n.servers) > 1 {
		o.Cluster = server.ClusterOpts{Name: "nodes", Host: "127.0.0.1", Port: routes, NoAdvertise: true}
		o.Routes = n.routes
	}
	srv, err := server.NewServer(o)
	if err != nil {
		n.t.Fatal(err)
	}
	srv.Start()
	n.servers[i] = srv
}

func (n *nodes) stop(i int) {
	n.servers[i].Shutdown()
	n.servers[i].WaitForShutdown()
}

// url names all nodes.
func (n *nodes) url() string {
	var urls []string
	for _, port := range n.ports {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", port))
	}
	return strings.Join(urls, ",")
}

// fill takes all the space of a node's disk, free gives it back.
func (n *nodes) fill(i int) {
	n.t.Helper()
	f, err := os.Create(filepath.Join(n.dirs[i], "filler"))
	if err != nil {
		n.t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
			chunk = chunk[:len(chunk)/2]
		} else if err != nil {
			n.t.Fatal(err)
		}
	}
}

func (n *nodes) free(i int) {
	n.t.Helper()
	if err := os.Remove(filepath.Join(n.dirs[i], "filler")); err != nil {
		n.t.Fatal(err)
	}
}

// logBuffer is a log that is read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSpace(l.buf.String()), "\n")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(until) {
			t.Fatalf("after a minute not yet: %s", what)
		}
		<-tick.C
	}
}

// watched publishes events all the time, as a scheduler does, and watches how that goes.
func watched(t *testing.T, n *nodes) (*streamhealth.Watcher, *logBuffer) {
	t.Helper()
	nc, err := bus.Connect(bus.Config{Name: "watcher", URL: n.url()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := bus.JetStream(nc)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the streams are made", func() bool { return bus.Ensure(t.Context(), js, bus.NewTopology(len(n.servers))) == nil })
	log := &logBuffer{}
	w := streamhealth.New(streamhealth.Config{Conn: nc, JS: js, Every: 2 * time.Second, Log: slog.New(slog.NewTextHandler(log, nil))})
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	t.Cleanup(func() { cancel(); all.Wait() })
	all.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	all.Go(func() { publish(ctx, js, w) })
	return w, log
}

func publish(ctx context.Context, js jetstream.JetStream, w *streamhealth.Watcher) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		subject := bus.BuildSubject("b", bus.Stage)
		_, err := bus.PublishAll(ctx, js, []bus.Message{{ID: strconv.Itoa(i), Subject: subject, Payload: make([]byte, 4000)}})
		w.Published(subject, err)
	}
}

// TestFullDisks: a node whose disk is full is named while the others go on; when a second one is, nothing can be stored, which is
// told with the streams and both nodes. Both are told once in the log, and so is their end after a restart of the nodes.
func TestFullDisks(t *testing.T) {
	t.Parallel()
	n := startNodes(t, 3, 64)
	w, log := watched(t, n)
	problem := func() string { return strings.Join(w.Problems(), " ") }
	wantLog := func(want ...string) {
		t.Helper()
		lines := log.lines()
		if len(lines) != len(want) {
			t.Fatalf("log = %q, want %d lines", lines, len(want))
		}
		for i, words := range want {
			for word := range strings.SplitSeq(words, "|") {
				if !strings.Contains(lines[i], word) {
					t.Errorf("log line %q lacks %q", lines[i], word)
				}
			}
		}
	}
	n.fill(0)
	eventually(t, "the full node is named", func() bool { return strings.Contains(problem(), "node-1") })
	if err := w.Err(); err != nil {
		t.Errorf("Err = %v while two of three nodes store", err)
	}
	if p := problem(); !strings.Contains(p, "JetStream is off") || strings.Contains(p, "node-2") || strings.Contains(p, "node-3") {
		t.Errorf("Problems = %q, want node-1 alone", p)
	}
	n.fill(1)
	eventually(t, "nothing can be stored", func() bool { return w.Err() != nil })
	if err := w.Err(); !errors.Is(err, build.ErrUnavailable) || !strings.Contains(err.Error(), bus.EventsStream) {
		t.Errorf("Err = %v, want unavailable and the stream", err)
	}
	if p := problem(); !strings.Contains(p, "node-1") || !strings.Contains(p, "node-2") || strings.Contains(p, "node-3") {
		t.Errorf("Problems = %q, want node-1 and node-2", p)
	}
	t.Log(problem())
	eventually(t, "it lasts for some rounds", func() bool { return !n.servers[1].JetStreamEnabled() })
	wantLog("do not store|node-1", "cannot store|"+bus.EventsStream+"|node-2")
	for i := range 2 {
		n.free(i)
		n.stop(i)
		n.start(i)
	}
	eventually(t, "all is well", func() bool { return w.Err() == nil && len(w.Problems()) == 0 })
	wantLog("node-1", "node-2", "stores again")
}

// TestFullDiskOfTheOnlyNode: there is nobody else to ask.
func TestFullDiskOfTheOnlyNode(t *testing.T) {
	t.Parallel()
	n := startNodes(t, 1, 64)
	w, log := watched(t, n)
	n.fill(0)
	eventually(t, "nothing can be stored", func() bool { return w.Err() != nil })
	if p := strings.Join(w.Problems(), " "); !strings.Contains(p, "node-1") || !strings.Contains(p, bus.EventsStream) {
		t.Errorf("Problems = %q, want the node and the stream", p)
	}
	n.free(0)
	n.stop(0)
	n.start(0)
	eventually(t, "all is well", func() bool { return w.Err() == nil && len(w.Problems()) == 0 })
	if lines := log.lines(); len(lines) != 2 {
		t.Errorf("log = %q, want 2 lines", lines)
	}
}

// TestNodeIsAway: a node that was stopped is named by its name, although it cannot be asked for it any more.
func TestNodeIsAway(t *testing.T) {
	t.Parallel()
	n := startNodes(t, 3, 64)
	w, log := watched(t, n)
	eventually(t, "all nodes were asked for their names", func() bool {
		var connections uint64
		for _, srv := range n.servers {
			v, err := srv.Varz(nil)
			if err != nil {
				t.Fatal(err)
			}
			connections += v.TotalConnections
		}
		return connections > 3 // one is the watcher's own
	})
	n.stop(2)
	eventually(t, "the node is named", func() bool { return len(w.Problems()) > 0 })
	if p := strings.Join(w.Problems(), " "); !strings.Contains(p, "node-3 (it does not answer)") || strings.Contains(p, "127.0.0.1") {
		t.Errorf("Problems = %q, want node-3", p)
	}
	n.start(2)
	eventually(t, "all is well", func() bool { return len(w.Problems()) == 0 })
	if lines := log.lines(); len(lines) != 2 {
		t.Errorf("log = %q, want 2 lines", lines)
	}
}
