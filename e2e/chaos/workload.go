package chaos

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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
	var wg sync.WaitGroup
	errs := make([]error, w.clients)
	for i := range w.clients {
		wg.Go(func() { errs[i] = w.client(ctx, i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// client submits its share, evenly over the time.
func (w *workload) client(ctx context.Context, number int) error {
	c, err := api.New(w.api)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(w.seed, uint64(number)))
	mine := w.builds / w.clients
	if number < w.builds%w.clients {
		mine++
	}
	tick := time.NewTicker(max(w.over/time.Duration(max(mine, 1)), time.Millisecond))
	defer tick.Stop()
	var cancels sync.WaitGroup
	defer cancels.Wait()
	for i := range mine {
		source, err := project(fmt.Sprintf("chaos-%d-%d", number, i), drawSize(rng), rng)
		if err != nil {
			return err
		}
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
	platform := []build.Platform{build.Android, build.IOS}[rng.IntN(2)]
	return w.submitTo(ctx, c, platform, fmt.Sprintf("app-%d", rng.IntN(5)), source)
}

func (w *workload) submitTo(ctx context.Context, c *api.Client, platform build.Platform, project string, source []byte) (id string) {
	sum := sha256.Sum256(source)
	call := Call{Kind: submit, Begin: time.Now(), Source: hex.EncodeToString(sum[:]), Size: len(source)}
	sub, err := c.Builds.Submit(ctx, api.Submit{
		Platform: string(platform), Project: project, Source: bytes.NewReader(source), SourceName: "app.zip",
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
	_, err := c.Builds.Cancel(ctx, id)
	call.End, call.Acknowledged, call.Refused = time.Now(), err == nil, errors.Is(err, build.ErrFinished)
	if err != nil {
		call.Error = err.Error()
	}
	w.history.add(call)
}

// The sizes of sources: most are small and lie in the artifact service's database, some are objects of the store, a few take several
// parts of an upload.
const (
	smallSource  = 10 << 10
	middleSource = 1 << 20
	largeSource  = 20 << 20
)

func drawSize(rng *rand.Rand) int {
	switch p := rng.Float64(); {
	case p < 0.5:
		return 1 + rng.IntN(smallSource)
	case p < 0.9:
		return smallSource + rng.IntN(middleSource-smallSource)
	default:
		return middleSource + rng.IntN(largeSource-middleSource)
	}
}

// project is a source like no other: its name is in it, beside bytes that cannot be packed.
func project(name string, size int, rng *rand.Rand) ([]byte, error) {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	f, err := z.Create("package.json")
	if err == nil {
		_, err = fmt.Fprintf(f, `{"name":%q}`, name)
	}
	if err == nil {
		f, err = z.CreateHeader(&zip.FileHeader{Name: "assets.bin", Method: zip.Store})
	}
	if err == nil {
		var seed [32]byte
		binary.LittleEndian.PutUint64(seed[:], rng.Uint64())
		_, err = io.CopyN(f, rand.NewChaCha8(seed), int64(size))
	}
	if err := errors.Join(err, z.Close()); err != nil {
		return nil, fmt.Errorf("make a source: %w", err)
	}
	return buf.Bytes(), nil
}
