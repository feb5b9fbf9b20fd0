package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/outage"
)

const (
	// transferTries bounds the grants asked for one object; within each the HTTP client resumes and repeats by itself.
	transferTries = 4
	transferPause = 500 * time.Millisecond
	// transferPauseMax bounds the pause, and transferPatience how long a farm is waited for that is away:
	// one that restarts, or was paused with its machine, must not cost a build that is nearly done.
	transferPauseMax = 5 * time.Second
	transferPatience = 10 * time.Minute
)

// errSource: the source is not what was submitted any more, and no other worker would find another.
var errSource = errors.New("the source of this build is missing or damaged in the farm's store; submit the app again")

// again repeats a transfer, each time with a new grant, while another try may help. A farm that is away
// is waited for and costs no try.
func (a *attempt) again(ctx context.Context, what string, once func() error) error {
	began := time.Now()
	for try, wait := 1, transferPause; ; wait = min(2*wait, transferPauseMax) {
		err := once()
		// A full object store may stay so; a farm's own full disk is waited for like a farm that is away.
		full := errors.Is(err, build.ErrNoSpace) && !strings.Contains(err.Error(), outage.MsgDiskFull)
		away := errors.Is(err, build.ErrUnavailable) && !full && time.Since(began) < transferPatience
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case gone(err), errors.Is(err, build.ErrTooLarge), errors.Is(err, build.ErrInvalid), missing(err):
			return fmt.Errorf("%s: %w", what, err)
		case try == transferTries && !away:
			return fmt.Errorf("%s, %d tries: %w", what, try, err)
		}
		if !away {
			try++
		}
		a.say(ctx, "warn", fmt.Sprintf("%s: %v; trying again", what, err))
		if !pause(ctx, wait/2+rand.N(wait)) {
			return context.Cause(ctx)
		}
	}
}

// missing says that the store does not have the bytes that it should have.
func missing(err error) bool {
	return errors.Is(err, build.ErrObjectNotFound) || errors.Is(err, build.ErrObjectCorrupt)
}

// grant asks for the right to move bytes. If the lease is lost the whole attempt is.
func (a *attempt) grant(ctx context.Context, req *artifactv1.WorkerGrantRequest) (*artifactv1.Grant, error) {
	req.WorkerId, req.BuildId, req.Attempt = a.workerID, a.lease.build, a.lease.attempt
	resp, err := a.worker.artifact().Grant(ctx, req)
	if errors.Is(err, build.ErrLeaseLost) {
		a.worker.held.drop(a.lease, errLeaseLost)
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the transfer: %w", err)
	}
	return resp.GetGrant(), nil
}

func httpGrant(g *artifactv1.Grant) api.Grant {
	return api.Grant{Method: g.GetMethod(), URL: g.GetUrl(), Headers: g.GetHeaders()}
}

// prepare brings the source into the workspace: downloaded, checked against its SHA-256, unpacked.
func (a *attempt) prepare(ctx context.Context, ws runtime.Workspace) error {
	name := filepath.Join(ws.Scratch(), "source")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("download the source: %w", err)
	}
	defer os.Remove(name) // the workspace is removed anyway; this makes room for the build
	defer f.Close()
	var size int64
	var corrupt error
	err = a.again(ctx, "download the source", func() (err error) {
		size, err = a.download(ctx, f)
		if errors.Is(err, api.ErrCorrupt) { // once may be the network's fault
			err, corrupt = cmp.Or(corrupt, err), fmt.Errorf("%w: %w", build.ErrObjectCorrupt, err)
		}
		return err
	})
	if missing(err) {
		return fmt.Errorf("%w (%w)", errSource, err)
	}
	if err != nil {
		return err
	}
	// An empty workspace is what Unpack wants, and leaves after an error.
	sum, err := archive.Unpack(ctx, f, size, ws.Dir(), archive.Limits{})
	if err != nil {
		return fmt.Errorf("source archive: %w", err)
	}
	a.say(ctx, "info", fmt.Sprintf("source: %s, SHA-256 %s, %d files, %s unpacked",
		bytesText(size), a.source.GetSha256(), sum.Files, bytesText(sum.Bytes)))
	return nil
}

func (a *attempt) download(ctx context.Context, f *os.File) (int64, error) {
	g, err := a.grant(ctx, &artifactv1.WorkerGrantRequest{Kind: artifactv1.Kind_KIND_SOURCE})
	if err != nil {
		return 0, err
	}
	if err := f.Truncate(0); err != nil {
		return 0, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	// What the build was submitted with decides, not what the store says now.
	want := a.source
	if want.GetSha256() == "" {
		want = g.GetObject()
	}
	return want.GetSize(), a.worker.deps.Gateway.Objects.Download(ctx, httpGrant(g), f, want.GetSize(), want.GetSha256())
}

// upload sends a packed result and gives its object id.
func (a *attempt) upload(ctx context.Context, r result) (id string, err error) {
	err = a.again(ctx, "upload the result", func() error {
		id, err = a.uploadOnce(ctx, r)
		return err
	})
	return id, err
}

func (a *attempt) uploadOnce(ctx context.Context, r result) (string, error) {
	g, err := a.grant(ctx, &artifactv1.WorkerGrantRequest{
		Kind: artifactv1.Kind_KIND_RESULT, Name: r.name, Size: r.size, Sha256: r.sha256,
	})
	if err != nil {
		return "", err
	}
	if _, err := r.file.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	up, err := a.worker.deps.Gateway.Objects.Upload(ctx, httpGrant(g), io.NewSectionReader(r.file, 0, r.size), nil)
	if err != nil {
		return "", err
	}
	if up.SHA256 != r.sha256 || up.Size != r.size {
		return "", fmt.Errorf("%w: stored %d bytes, SHA-256 %s", api.ErrCorrupt, up.Size, up.SHA256)
	}
	return g.GetObjectId(), nil
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
