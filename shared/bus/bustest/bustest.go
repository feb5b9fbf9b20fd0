// Package bustest starts a real nats-server with JetStream inside the test process: no port, no container, about 20 ms.
package bustest

import (
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Server is an embedded bus that ends with its test.
type Server struct {
	tb      testing.TB
	dir     string
	storage int64
	// srv is replaced by Restart while clients look for it.
	srv atomic.Pointer[server.Server]
}

// Start returns a fresh server whose streams and buckets are those of bus.NewTopology.
func Start(tb testing.TB) *Server {
	tb.Helper()
	return StartWith(tb, 0)
}

// StartWith is Start on a server that has so many bytes for all streams; 0 is what its disk has.
func StartWith(tb testing.TB, storage int64) *Server {
	tb.Helper()
	s := &Server{tb: tb, dir: tb.TempDir(), storage: storage}
	s.boot()
	tb.Cleanup(s.Stop)
	if err := bus.Ensure(tb.Context(), s.JetStream(s.Connect("setup")), bus.NewTopology(1)); err != nil {
		tb.Fatalf("bus.Ensure: %v", err)
	}
	return s
}

func (s *Server) boot() {
	s.tb.Helper()
	srv, err := server.NewServer(&server.Options{
		ServerName: "bustest", DontListen: true, JetStream: true, StoreDir: s.dir, JetStreamMaxStore: s.storage,
		NoSigs: true, NoLog: true,
	})
	if err != nil {
		s.tb.Fatalf("nats-server: %v", err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		s.tb.Fatal("nats-server is not ready after 10 s")
	}
	s.srv.Store(srv)
}

// Stop ends the server; the data stay until the test ends.
func (s *Server) Stop() {
	srv := s.srv.Load()
	srv.Shutdown()
	srv.WaitForShutdown()
}

// Restart stops the server and starts it again on the same data; connections made by Connect reconnect.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	s.boot()
}

// Shrink restarts the server with so many bytes for all streams.
func (s *Server) Shrink(storage int64) {
	s.tb.Helper()
	s.storage = storage
	s.Restart()
}

// provider hands out connections of whichever server runs now, so that clients come back after a Restart.
type provider struct{ s *Server }

func (p provider) InProcessConn() (net.Conn, error) {
	conn, err := p.s.srv.Load().InProcessConn()
	if err != nil {
		return nil, fmt.Errorf("in-process connection: %w", err)
	}
	return conn, nil
}

// Connect returns a connection that is closed with the test.
func (s *Server) Connect(name string) *nats.Conn {
	s.tb.Helper()
	nc, err := bus.Connect(bus.Config{Name: name, InProcess: provider{s}}, slog.New(slog.DiscardHandler))
	if err != nil {
		s.tb.Fatalf("connect %s: %v", name, err)
	}
	s.tb.Cleanup(nc.Close)
	return nc
}

// JetStream opens our JetStream context on a connection.
func (s *Server) JetStream(nc *nats.Conn) jetstream.JetStream {
	s.tb.Helper()
	js, err := bus.JetStream(nc)
	if err != nil {
		s.tb.Fatal(err)
	}
	return js
}
