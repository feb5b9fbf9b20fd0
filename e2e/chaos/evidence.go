package chaos

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/cluster"
	"github.com/expo-free-agent/freeagent/e2e/idle"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// everyBuild reads all builds there are.
func everyBuild(ctx context.Context, c *api.Client) (all []api.Build, err error) {
	for before := ""; ; {
		page, err := c.Builds.List(ctx, api.ListOptions{Limit: 1000, Before: before})
		if err != nil {
			return nil, err
		}
		all = append(all, page.Builds...)
		if before = page.Next; before == "" {
			return all, nil
		}
	}
}

// settle waits until every build has ended, or ctx has, and watches for builds that wait beside idle workers; whatever is then left is
// for Check to say.
func settle(ctx context.Context, c *api.Client, watch *idle.Watch) (left int) {
	for {
		all, err := everyBuild(ctx, c)
		if err == nil {
			if list, err := c.Workers.List(ctx); err == nil {
				watch.Look(time.Now(), all, list.Workers)
			}
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
	events, err := eventLog(ctx, cl)
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
		b.Events = events[listed.ID]
		e.Builds[b.ID] = b
	}
	return e, nil
}

func lookAt(ctx context.Context, c *api.Client, id string) (b Build, err error) {
	if b.Build, err = c.Builds.Get(ctx, id); err != nil {
		return b, err
	}
	if b.Status == "completed" {
		var data bytes.Buffer
		if err := c.Builds.DownloadResult(ctx, b.Build, &data, 0, nil, nil); err != nil { // it compares the SHA-256
			b.Broken = "download: " + err.Error()
		} else if b.Made, err = madeBy(&data); err != nil {
			b.Broken = "result: " + err.Error()
		}
	}
	err = c.Builds.ReadLog(ctx, id, func(l api.LogLine) error {
		b.Log = append(b.Log, l)
		return nil
	})
	return b, err
}

// madeBy reads the file of the fake executor's result that names its attempt.
func madeBy(r io.Reader) (string, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return "", err
	}
	for files := tar.NewReader(z); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return "", errors.New("no attempt.txt in it")
		}
		if err != nil {
			return "", err
		}
		if path.Base(h.Name) == "attempt.txt" {
			text, err := io.ReadAll(io.LimitReader(files, 1<<10))
			return strings.TrimSpace(string(text)), err
		}
	}
}
