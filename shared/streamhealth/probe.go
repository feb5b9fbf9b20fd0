package streamhealth

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// probeTimeout is ample for a server that works.
	probeTimeout = 2 * time.Second
	// maxAddresses bounds what one name stands for.
	maxAddresses = 16
	// maxInfo bounds a server's first line, in bytes.
	maxInfo = 32 << 10
)

// server is what was found of one.
type server struct {
	address string
	// name is empty if the server did not say it.
	name string
	// cause is why it does not store; empty if it does, or does not say.
	cause string
}

// probe looks at each configured server of a connection; none of an embedded one.
func probe(ctx context.Context, nc *nats.Conn) []server {
	if nc.Opts.InProcessServer != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*probeTimeout)
	defer cancel()
	at := addresses(ctx, nc.Servers())
	found := make([]server, len(at))
	var all sync.WaitGroup
	for i, address := range at {
		all.Go(func() { found[i] = look(ctx, address) })
	}
	all.Wait()
	return found
}

// addresses are all that the names of the servers stand for: a headless service has one for all nodes.
func addresses(ctx context.Context, urls []string) (all []string) {
	for _, raw := range urls {
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "nats" && u.Scheme != "tls" {
			continue
		}
		port := u.Port()
		if port == "" {
			port = "4222"
		}
		hosts, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
		if err != nil {
			hosts = []string{u.Hostname()}
		}
		for _, host := range hosts[:min(len(hosts), maxAddresses)] {
			all = append(all, net.JoinHostPort(host, port))
		}
	}
	return all
}

// look reads the first line of a server, which it sends before TLS and before a login.
func look(ctx context.Context, address string) server {
	s := server{address: address}
	d := net.Dialer{Timeout: probeTimeout}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		s.cause = causeAway
		return s
	}
	defer func() { _ = conn.Close() }() // nothing was written
	if err := conn.SetDeadline(time.Now().Add(probeTimeout)); err != nil {
		return s
	}
	line, err := bufio.NewReader(io.LimitReader(conn, maxInfo)).ReadString('\n')
	text, ok := strings.CutPrefix(line, "INFO ")
	if err != nil || !ok {
		return s // it wants TLS first, or hangs, which its streams show
	}
	var info struct {
		Name      string `json:"server_name"`
		JetStream bool   `json:"jetstream"`
	}
	if json.Unmarshal([]byte(text), &info) != nil {
		return s
	}
	if s.name = info.Name; !info.JetStream {
		s.cause = causeOff
	}
	return s
}
