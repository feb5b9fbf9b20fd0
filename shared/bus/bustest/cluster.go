package bustest

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Cluster returns a connection to three fresh servers that replicate. There are no streams yet.
func Cluster(tb testing.TB) *nats.Conn {
	tb.Helper()
	routes := routes(tb)
	var first *server.Server
	for i, route := range routes {
		port, err := strconv.Atoi(route.Port())
		if err != nil {
			tb.Fatal(err)
		}
		srv, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprintf("bustest-%d", i+1), Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: tb.TempDir(),
			NoSigs: true, NoLog: true, Cluster: server.ClusterOpts{Name: "bustest", Host: "127.0.0.1", Port: port}, Routes: routes,
		})
		if err != nil {
			tb.Fatalf("nats-server: %v", err)
		}
		srv.Start()
		tb.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
		first = cmp.Or(first, srv)
	}
	nc, err := bus.Connect(bus.Config{Name: "setup", InProcess: first}, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

// routes are free addresses: a server with JetStream wants to know those of the others before it starts.
func routes(tb testing.TB) (urls []*url.URL) {
	tb.Helper()
	var taken []net.Listener // all at once, so that none is given twice
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed below
		if err != nil {
			tb.Fatal(err)
		}
		taken = append(taken, l)
		urls = append(urls, &url.URL{Scheme: "nats-route", Host: l.Addr().String()})
	}
	for _, l := range taken {
		if err := l.Close(); err != nil {
			tb.Fatal(err)
		}
	}
	return urls
}
