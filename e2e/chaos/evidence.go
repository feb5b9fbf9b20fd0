package chaos

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/e2e/cluster"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

// everyBuild reads all builds there are.
func everyBuild(ctx context.Context, c *api.Client) (all []api.Build, err error) {
	for before := ""; ; {
		page, err := c.Builds(ctx, api.ListOptions{Limit: 1000, Before: before})
		if err != nil {
			return nil, err //nolint:wrapcheck // says what
		}
		all = append(all, page.Builds...)
		if before = page.Next; before == "" {
			return all, nil
		}
	}
}

// settle waits until every build has ended, or ctx has; whatever is then left is for Check to say.
func settle(ctx context.Context, c *api.Client) (left int) {
	for {
		all, err := everyBuild(ctx, c)
		if err == nil {
			left = 0
			for _, b := range all {
				if !b.Final() {
					left++
				}
			}
			if left == 0 {
				return 0
			}
		}
		if !sleep(ctx, time.Second) {
			return left
		}
	}
}

// gather reads what the system says of every build.
func gather(ctx context.Context, cl *cluster.Cluster, c *api.Client, calls []Call) (Evidence, error) {
	e := Evidence{Calls: calls, Builds: map[string]Build{}}
	finals, err := finalEvents(ctx, cl)
	if err != nil {
		return e, fmt.Errorf("read the event log: %w", err)
	}
	all, err := everyBuild(ctx, c)
	if err != nil {
		return e, err
	}
	for _, listed := range all {
		b, err := lookAt(ctx, c, listed.ID)
		if err != nil {
			return e, fmt.Errorf("build %s: %w", listed.ID, err)
		}
		b.Finals = finals[listed.ID]
		e.Builds[b.ID] = b
	}
	return e, nil
}

func lookAt(ctx context.Context, c *api.Client, id string) (b Build, err error) {
	if b.Build, err = c.Build(ctx, id); err != nil {
		return b, err //nolint:wrapcheck // says what
	}
	if b.Status == "completed" {
		var data bytes.Buffer
		if err := c.Download(ctx, b.Build, &data, 0, nil, nil); err != nil { // it compares the SHA-256
			b.Broken = "download: " + err.Error()
		} else if b.Made, err = madeBy(&data); err != nil {
			b.Broken = "result: " + err.Error()
		}
	}
	err = c.Logs(ctx, id, func(l api.LogLine) error {
		b.Log = append(b.Log, l)
		return nil
	})
	return b, err //nolint:wrapcheck // says what
}

// madeBy reads the file of the fake executor's result that names its attempt.
func madeBy(r io.Reader) (string, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return "", err //nolint:wrapcheck // the caller says of what
	}
	for files := tar.NewReader(z); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return "", errors.New("no attempt.txt in it")
		}
		if err != nil {
			return "", err //nolint:wrapcheck // the caller says of what
		}
		if path.Base(h.Name) == "attempt.txt" {
			text, err := io.ReadAll(io.LimitReader(files, 1<<10))
			return strings.TrimSpace(string(text)), err //nolint:wrapcheck // the caller says of what
		}
	}
}

// finalEvents reads the event log: which final events each build has had, each once by its id, since a stream whose memory of
// ids has run out may hold an event twice.
func finalEvents(ctx context.Context, cl *cluster.Cluster) (map[string][]string, error) {
	url, user, password := cl.BusURL()
	secure, err := tlsfiles.Client(cl.CAFile(), "", "")
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	nc, err := bus.Connect(bus.Config{URL: url, Name: "chaos", User: user, Password: password, TLS: secure}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err //nolint:wrapcheck // says what
	}
	defer nc.Close()
	js, err := bus.JetStream(nc)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what
	}
	cons, err := js.OrderedConsumer(ctx, bus.EventsStream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{
		bus.BuildSubjects(bus.Completed), bus.BuildSubjects(bus.Failed), bus.BuildSubjects(bus.Cancelled),
	}})
	if err != nil {
		return nil, err //nolint:wrapcheck // says what
	}
	pending := cons.CachedInfo().NumPending
	it, err := cons.Messages(jetstream.PullHeartbeat(time.Second), jetstream.PullExpiry(10*time.Second))
	if err != nil {
		return nil, err //nolint:wrapcheck // says what
	}
	defer it.Stop()
	found, seen := map[string][]string{}, map[string]bool{}
	for range pending {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err //nolint:wrapcheck // says what
		}
		id, event, err := bus.ParseEvent(m.Subject())
		if err != nil {
			return nil, err //nolint:wrapcheck // says what
		}
		if ce := m.Headers().Get(bus.HeaderID); !seen[ce] {
			seen[ce] = true
			found[id] = append(found[id], string(event))
		}
	}
	return found, nil
}
