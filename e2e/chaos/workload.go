package chaos

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// workload are clients that submit builds, and cancel some.
type workload struct {
	api     api.Config
	history *history
	// builds in all, by so many clients at once, spread over so long.
	builds, clients int
	over            time.Duration
	// cancelled is the share of builds that their client cancels.
	cancelled float64
	seed      uint64
}

// patience is how long a client tries a call that breaks.
const patience = time.Minute

func (w *workload) run(ctx context.Context) error {
	source, err := project()
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, w.clients)
	for i := range w.clients {
		wg.Go(func() { errs[i] = w.client(ctx, i, source) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// client submits its share, evenly over the time.
func (w *workload) client(ctx context.Context, number int, source []byte) error {
	c, err := api.New(w.api)
	if err != nil {
		return err //nolint:wrapcheck // says what
	}
	rng := rand.New(rand.NewPCG(w.seed, uint64(number))) //nolint:gosec // not a secret
	mine := w.builds / w.clients
	if number < w.builds%w.clients {
		mine++
	}
	tick := time.NewTicker(max(w.over/time.Duration(max(mine, 1)), time.Millisecond))
	defer tick.Stop()
	var cancels sync.WaitGroup
	defer cancels.Wait()
	for range mine {
		if id := w.submit(ctx, c, rng, source); id != "" && rng.Float64() < w.cancelled {
			wait := time.Duration(rng.Int64N(int64(5 * time.Second)))
			cancels.Go(func() { w.cancel(ctx, c, id, wait) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	return nil
}

func (w *workload) submit(ctx context.Context, c *api.Client, rng *rand.Rand, source []byte) (id string) {
	call := Call{Kind: submit, Begin: time.Now()}
	platform := []build.Platform{build.Android, build.IOS}[rng.IntN(2)]
	sub, err := c.Submit(ctx, api.Submit{
		Platform: string(platform), Project: fmt.Sprintf("app-%d", rng.IntN(5)), Source: bytes.NewReader(source), SourceName: "app.zip",
	})
	call.End, call.Build, call.Acknowledged = time.Now(), sub.ID, err == nil
	if err != nil {
		call.Error = err.Error()
	}
	w.history.add(call)
	return sub.ID
}

func (w *workload) cancel(ctx context.Context, c *api.Client, id string, wait time.Duration) {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return
	case <-t.C:
	}
	call := Call{Kind: cancel, Build: id, Begin: time.Now()}
	_, err := c.Cancel(ctx, id)
	call.End, call.Acknowledged, call.Refused = time.Now(), err == nil, errors.Is(err, build.ErrFinished)
	if err != nil {
		call.Error = err.Error()
	}
	w.history.add(call)
}

// project is a small source.
func project() ([]byte, error) {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	f, err := z.Create("package.json")
	if err == nil {
		_, err = f.Write([]byte(`{"name":"chaos"}`))
	}
	if err := errors.Join(err, z.Close()); err != nil {
		return nil, fmt.Errorf("make a source: %w", err)
	}
	return buf.Bytes(), nil
}
