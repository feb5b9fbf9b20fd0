package cluster

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

// balancer passes connections on to the backends that say they are ready, in turn: what a load balancer in front of the
// services, or Kubernetes, does. A backend that says it is not ready gets no new connections and keeps those it has; when one
// does not answer at all, they end.
type balancer struct {
	listener net.Listener
	scheme   string
	client   *http.Client
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu       sync.Mutex
	backends []*backend
	next     int
}

type backend struct {
	address string
	ready   bool
	conns   map[net.Conn]bool
}

const (
	probeEvery   = 500 * time.Millisecond
	probeTimeout = time.Second
)

// newBalancer listens at address. scheme is http:// or https://; with the latter, backends are checked against the file ca.
func newBalancer(address, scheme, ca string, backends []string) (*balancer, error) {
	transport, err := tlsfiles.Transport(&http.Transport{DisableKeepAlives: true}, ca)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address) //nolint:noctx // closed by close
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &balancer{listener: l, scheme: scheme, client: &http.Client{Timeout: probeTimeout, Transport: transport}, cancel: cancel}
	for _, a := range backends {
		b.backends = append(b.backends, &backend{address: a, conns: map[net.Conn]bool{}})
	}
	for _, to := range b.backends {
		b.wg.Go(func() { b.probe(ctx, to) })
	}
	b.wg.Go(func() { b.accept(ctx) })
	return b, nil
}

func (b *balancer) url() string { return b.scheme + b.listener.Addr().String() }

func (b *balancer) close() {
	b.cancel()
	_ = b.listener.Close()
	for _, to := range b.backends {
		b.drop(to)
	}
	b.wg.Wait()
}

func (b *balancer) probe(ctx context.Context, to *backend) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for misses := 0; ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.scheme+to.address+"/readyz", nil)
		if err != nil {
			return
		}
		resp, err := b.client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			b.set(to, resp.StatusCode == http.StatusOK)
			misses = 0
		} else if misses++; misses == 2 {
			b.drop(to)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (b *balancer) set(to *backend, ready bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	to.ready = ready
}

// whole says that every backend is ready.
func (b *balancer) whole() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, to := range b.backends {
		if !to.ready {
			return false
		}
	}
	return true
}

// drop gives a backend up.
func (b *balancer) drop(to *backend) {
	b.mu.Lock()
	defer b.mu.Unlock()
	to.ready = false
	for c := range to.conns {
		_ = c.Close()
	}
}

func (b *balancer) accept(ctx context.Context) {
	for {
		in, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.wg.Go(func() { b.pass(ctx, in) })
	}
}

// pass tries each backend once, the ready ones first.
func (b *balancer) pass(ctx context.Context, in net.Conn) {
	defer in.Close()
	for _, to := range b.order() {
		out, err := (&net.Dialer{Timeout: probeTimeout}).DialContext(ctx, "tcp", to.address)
		if err != nil {
			continue
		}
		b.join(to, in, out)
		return
	}
}

func (b *balancer) order() (all []*backend) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	for i := range b.backends {
		if to := b.backends[(b.next+i)%len(b.backends)]; to.ready {
			all = append(all, to)
		}
	}
	return all
}

func (b *balancer) join(to *backend, in, out net.Conn) {
	defer out.Close()
	b.mu.Lock()
	to.conns[in] = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(to.conns, in)
	}()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(in, out) // an end of either side is the end of both
		_ = in.Close()
	})
	_, _ = io.Copy(out, in)
	_ = in.Close()
	_ = out.Close()
	back.Wait()
}
