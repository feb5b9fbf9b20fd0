package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

// Ready waits until each service says that it is. One that has ended is started again.
func (c *Cluster) Ready(ctx context.Context) error {
	transport, err := tlsfiles.Transport(&http.Transport{DisableKeepAlives: true}, c.CAFile())
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 2 * time.Second, Transport: transport}
	for _, p := range c.processes {
		if !slices.Contains([]string{"scheduler", "monitor", "artifact", "ingest"}, p.Kind) {
			continue
		}
		url := c.healthScheme(p.Kind) + "://" + c.hostPort(p.Name) + "/readyz"
		err := c.await(ctx, p, func() error {
			if !p.Running() { // started again, as its supervisor would: what it needs may only be slow to come
				return p.Start()
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			if err != nil {
				return err
			}
			resp, err := client.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return errors.New(resp.Status)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return c.balanced(ctx)
}

// balanced waits until the balancers have noticed.
func (c *Cluster) balanced(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for _, b := range c.balancers {
		for !b.whole() {
			select {
			case <-ctx.Done():
				return fmt.Errorf("balancer at %s does not see all that it should: %w", b.url(), ctx.Err())
			case <-tick.C:
			}
		}
	}
	return nil
}

// healthScheme: those who serve nothing but their health do it without TLS.
func (l *layout) healthScheme(kind string) string {
	if kind == "ingest" || kind == "artifact" {
		return l.scheme("http")
	}
	return "http"
}

// listening waits until the engines take connections.
func (c *Cluster) listening(ctx context.Context) error {
	for _, p := range c.processes {
		if err := c.reachable(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// reachable waits until a process takes connections.
func (c *Cluster) reachable(ctx context.Context, p *Process) error {
	return c.await(ctx, p, func() error {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", c.hostPort(p.Name))
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

const readyTimeout = 2 * time.Minute

// await asks until it is well, the process has ended, or it took too long.
func (c *Cluster) await(ctx context.Context, p *Process, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if !p.Running() {
			return fmt.Errorf("%s has ended; its log %s says why", p.Name, p.log.Name())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready, see its log %s: %w", p.Name, p.log.Name(), err)
		case <-tick.C:
		}
	}
}
