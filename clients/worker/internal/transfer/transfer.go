package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/farm"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/outage"
	"github.com/expo-free-agent/freeagent/shared/text"
)

const (
	// maxTries bounds the grants for one object.
	maxTries = 4
	minRetry = 500 * time.Millisecond
	maxRetry = 5 * time.Second
	// waitForFarm bounds how long an unavailable farm is waited for.
	waitForFarm = 10 * time.Minute
)

// ErrSource means that the stored source is not what was submitted. No worker would find another.
var ErrSource = errors.New("the source of this build is missing or damaged in the farm's store; submit the app again")

// Transfers moves the bytes of one attempt.
type Transfers struct {
	Gateway  *api.Client
	Farm     *farm.Client
	WorkerID string
	Lease    farm.Lease
	// LeaseLost is called when a grant is refused since the worker does not hold the attempt.
	LeaseLost func()
	// Log adds a line to the build's log.
	Log func(ctx context.Context, level, text string)
	// Mask removes secrets from a text.
	Mask func(string) string
}

// retry calls f, which must ask for a new grant each time, until it succeeds or another try does not help.
func (t *Transfers) retry(ctx context.Context, what string, f func() error) error {
	began := time.Now()
	retries := backoff.Retries{First: minRetry, Most: maxRetry}
	for try := 1; ; {
		err := f()
		// A full object store may stay full; the farm's own full disk is waited for like an unavailable farm.
		full := errors.Is(err, build.ErrNoSpace) && !strings.Contains(err.Error(), outage.MsgDiskFull)
		unavailable := errors.Is(err, build.ErrUnavailable) && !full && time.Since(began) < waitForFarm
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case farm.IsNotHeld(err), errors.Is(err, build.ErrTooLarge), errors.Is(err, build.ErrInvalid), isMissing(err):
			return fmt.Errorf("%s: %w", what, err)
		case try == maxTries && !unavailable:
			return fmt.Errorf("%s, %d tries: %w", what, try, err)
		}
		if !unavailable {
			try++
		}
		t.Log(ctx, "warn", fmt.Sprintf("%s: %v; trying again", what, err))
		if err := retries.Sleep(ctx); err != nil {
			return err
		}
	}
}

// isMissing reports whether the store has lost the bytes.
func isMissing(err error) bool {
	return errors.Is(err, build.ErrObjectNotFound) || errors.Is(err, build.ErrObjectCorrupt)
}

// grant asks for the right to transfer an object.
func (t *Transfers) grant(ctx context.Context, req *artifactv1.WorkerGrantRequest) (*artifactv1.Grant, error) {
	resp, err := t.ask(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("ask for the transfer: %w", err)
	}
	return resp.GetGrant(), nil
}

// ask asks the artifact service for something of the attempt.
func (t *Transfers) ask(ctx context.Context, req *artifactv1.WorkerGrantRequest) (*artifactv1.WorkerGrantResponse, error) {
	req.WorkerId, req.BuildId, req.Attempt = t.WorkerID, t.Lease.BuildID, t.Lease.Attempt
	resp, err := t.Farm.Artifact().Grant(ctx, req)
	if errors.Is(err, build.ErrLeaseLost) {
		t.LeaseLost()
	}
	return resp, err
}

func httpGrant(g *artifactv1.Grant) api.Grant {
	return api.Grant{Method: g.GetMethod(), URL: g.GetUrl(), Headers: g.GetHeaders()}
}

// FetchSource downloads the source, checks its SHA-256 and unpacks it into the workspace. It is ErrSource if the store does not have what
// was submitted.
func (t *Transfers) FetchSource(ctx context.Context, ws runtime.Workspace, source *eventsv1.ObjectRef) error {
	name := filepath.Join(ws.Scratch(), "source")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("download the source: %w", err)
	}
	defer os.Remove(name) // the workspace is removed anyway; this makes room for the build
	defer f.Close()
	size, err := t.fetch(ctx, f, "download the source", artifactv1.Kind_KIND_SOURCE, source)
	if isMissing(err) {
		return fmt.Errorf("%w (%w)", ErrSource, err)
	}
	if err != nil {
		return err
	}
	// Unpack wants an empty directory, and empties it after an error.
	sum, err := archive.Unpack(ctx, f, size, ws.Dir(), archive.SourceLimits())
	if err != nil {
		return fmt.Errorf("source archive: %w", err)
	}
	t.Log(ctx, "info", fmt.Sprintf("source: %s, SHA-256 %s, %d files, %s unpacked",
		text.Size(size), source.GetSha256(), sum.Files, text.Size(sum.Bytes)))
	return nil
}

// fetch downloads an object into a file, with retries, and returns its size. Bytes that are wrong twice are build.ErrObjectCorrupt.
func (t *Transfers) fetch(ctx context.Context, f *os.File, what string, kind artifactv1.Kind, object *eventsv1.ObjectRef) (size int64, err error) {
	var corrupt error
	err = t.retry(ctx, what, func() (err error) {
		size, err = t.download(ctx, f, kind, object)
		if errors.Is(err, api.ErrCorrupt) { // once may be the network's fault
			err, corrupt = cmp.Or(corrupt, err), fmt.Errorf("%w: %w", build.ErrObjectCorrupt, err)
		}
		return err
	})
	return size, err
}

func (t *Transfers) download(ctx context.Context, f *os.File, kind artifactv1.Kind, source *eventsv1.ObjectRef) (int64, error) {
	g, err := t.grant(ctx, &artifactv1.WorkerGrantRequest{Kind: kind})
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
	want := source
	if want.GetSha256() == "" {
		want = g.GetObject()
	}
	return want.GetSize(), t.Gateway.Objects.Download(ctx, httpGrant(g), f, want.GetSize(), want.GetSha256())
}

// upload uploads a file of the attempt and returns its object id.
func (t *Transfers) upload(ctx context.Context, kind artifactv1.Kind, r result) (id string, err error) {
	what := "upload the result"
	if kind == artifactv1.Kind_KIND_ARTIFACTS {
		what = "upload the build artifacts"
	}
	err = t.retry(ctx, what, func() error {
		id, err = t.uploadOnce(ctx, kind, r)
		return err
	})
	return id, err
}

func (t *Transfers) uploadOnce(ctx context.Context, kind artifactv1.Kind, r result) (string, error) {
	g, err := t.grant(ctx, &artifactv1.WorkerGrantRequest{
		Kind: kind, Name: r.name, Size: r.size, Sha256: r.sha256,
	})
	if err != nil {
		return "", err
	}
	if _, err := r.file.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	up, err := t.Gateway.Objects.Upload(ctx, httpGrant(g), io.NewSectionReader(r.file, 0, r.size), nil)
	if err != nil {
		return "", err
	}
	if up.SHA256 != r.sha256 || up.Size != r.size {
		return "", fmt.Errorf("%w: stored %d bytes, SHA-256 %s", api.ErrCorrupt, up.Size, up.SHA256)
	}
	return g.GetObjectId(), nil
}
