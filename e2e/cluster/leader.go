package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/secrets"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

// Bus connects to all nodes as the services do. The caller closes the connection.
func (c *Cluster) Bus(name string) (*nats.Conn, error) {
	return c.connect(name, secrets.BusUser, c.busPass)
}

func (c *Cluster) connect(name, user, password string) (*nats.Conn, error) {
	secure, err := tlsfiles.Client(c.CAFile(), "", "")
	if err != nil {
		return nil, err
	}

	return bus.Connect(bus.Config{URL: c.busURL(), Name: name, User: user, Password: password, TLS: secure}, slog.New(slog.DiscardHandler))
}

const leaderTimeout = 5 * time.Second

// MetaLeader names the node that leads the bus: it decides where streams live. Killing it is the worst that one node can do.
func (c *Cluster) MetaLeader(ctx context.Context) (string, error) {
	password, err := c.readSecret(secrets.BusSystem)
	if err != nil {
		return "", err
	}
	nc, err := c.connect("leader", "sys", password)
	if err != nil {
		return "", err
	}
	defer nc.Close()
	var answer struct {
		Data struct {
			Meta struct {
				Leader string `json:"leader"`
			} `json:"meta_cluster"`
		} `json:"data"`
	}
	if err := ask(ctx, nc, "$SYS.REQ.SERVER.PING.JSZ", &answer); err != nil {
		return "", err
	}
	return named(answer.Data.Meta.Leader, "the bus")
}

// StreamLeader names the node that leads a stream.
func (c *Cluster) StreamLeader(ctx context.Context, stream string) (string, error) {
	nc, err := c.Bus("leader")
	if err != nil {
		return "", err
	}
	defer nc.Close()
	var answer struct {
		Cluster struct {
			Leader string `json:"leader"`
		} `json:"cluster"`
	}
	if err := ask(ctx, nc, "$JS.API.STREAM.INFO."+stream, &answer); err != nil {
		return "", err
	}
	return named(answer.Cluster.Leader, stream)
}

func ask(ctx context.Context, nc *nats.Conn, subject string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, leaderTimeout)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, subject, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", subject, err)
	}
	if err := json.Unmarshal(m.Data, into); err != nil {
		return fmt.Errorf("answer of %s: %w", subject, err)
	}
	return nil
}

func named(leader, of string) (string, error) {
	if leader == "" {
		return "", fmt.Errorf("%s has no leader now", of)
	}
	return leader, nil
}
