package legacyimport

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"golang.org/x/sync/errgroup"

	"github.com/expo-free-agent/freeagent/shared/api"
	legacyapi "github.com/expo-free-agent/freeagent/shared/api/legacy"
)

const (
	// uploads is how many files go up at once (each takes 8 MiB of the server's memory), largeUploads how many of more than one piece: each of those holds two.
	uploads      = 8
	largeUploads = 3
	// smallFile is one that goes up in one request.
	smallFile = 1 << 20
	// askFiles is how many the server is asked about at once.
	askFiles = 400
)

// file is what goes up of a build.
type file struct {
	legacyapi.File

	// counts is the kind that it is counted as, and things how many it holds: lines of a log.
	counts string
	things int64
	open   func() (io.ReadCloser, error)
	drop   func()
}

// prepareFiles hashes the files that a build names. One that is not there is told and left out.
func (r *run) prepareFiles(i *item) error {
	if err := r.prepareFile(i, "source", Sources, i.row.SourcePath, &i.to.Source, &i.to.SourceSize); err != nil {
		return err
	}
	if p := orZero(i.row.ResultPath); p != "" {
		if err := r.prepareFile(i, "result", Results, p, &i.to.Result, &i.to.ResultSize); err != nil {
			return err
		}
	}
	p := orZero(i.row.CertsPath)
	switch {
	case p == "":
		return nil
	case r.Certs == None:
		r.report.leave(Certs, i.row.ID, "certificates are not imported (--certs none)", 1)
		return nil
	case i.row.Ended() && r.Certs != All:
		r.report.leave(Certs, i.row.ID, "its build has ended; --certs all imports them too", 1)
		return nil
	}
	return r.prepareFile(i, "certs", Certs, p, &i.to.Certs, &i.to.CertsSize)
}

func (r *run) prepareFile(i *item, kind, counts, stored string, sum *string, size *int64) error {
	if stored == "" {
		return nil
	}
	hash, n, err := r.hash(stored)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.report.leave(counts, i.row.ID, "the file is missing", 1)
		return nil
	case errors.Is(err, fs.ErrInvalid), errors.Is(err, fs.ErrPermission):
		r.report.leave(counts, i.row.ID, err.Error(), 1)
		return nil
	case err != nil:
		return err
	}
	*sum, *size = hash, n
	r.bytes += n
	r.report.Of(counts).Bytes += n
	i.files = append(i.files, &file{
		File:   legacyapi.File{BuildID: i.row.ID, Kind: kind, Name: path.Base(stored), Size: n, SHA256: hash},
		counts: counts, things: 1, drop: func() {},
		open: func() (io.ReadCloser, error) { return r.from.File(stored) },
	})
	return nil
}

func (r *run) hash(stored string) (sum string, size int64, err error) {
	f, err := r.from.File(stored)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, fmt.Errorf("read %s: %w", stored, err)
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// bringFiles asks which files are there and brings the others.
func (r *run) bringFiles(ctx context.Context, items []*item) error {
	var all []*file
	for _, i := range items {
		all = append(all, i.files...)
	}
	for len(all) > 0 {
		some := all[:min(len(all), askFiles)]
		all = all[len(some):]
		if err := r.bringSome(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) bringSome(ctx context.Context, files []*file) error {
	req := legacyapi.Files{Check: r.check}
	for _, f := range files {
		req.Files = append(req.Files, f.File)
	}
	var resp legacyapi.Places
	if err := legacyapi.New(r.server).Import(ctx, "files", req, &resp); err != nil {
		return err
	}
	if len(resp.Places) != len(files) {
		return errShort
	}
	small, smallCtx := errgroup.WithContext(ctx)
	small.SetLimit(uploads)
	large, largeCtx := errgroup.WithContext(ctx)
	large.SetLimit(largeUploads)
	for i, p := range resp.Places {
		f := files[i]
		if p.ObjectID != "" || p.Removed {
			r.report.count(f.counts, present, f.things)
			continue
		}
		r.report.count(f.counts, added, f.things)
		switch {
		case r.check:
		case p.Upload == nil:
			return errShort
		case f.Size <= smallFile:
			small.Go(func() error { return r.upload(smallCtx, f, p.Upload) })
		default:
			large.Go(func() error { return r.upload(largeCtx, f, p.Upload) })
		}
	}
	return errors.Join(small.Wait(), large.Wait())
}

// sized is a body that says how much it holds, so that no more room is made for it.
type sized struct {
	io.Reader

	n int64
}

func (s sized) Len() int { return int(s.n) }

// upload brings a file. The server takes only the bytes that were hashed.
func (r *run) upload(ctx context.Context, f *file, to *api.Upload) error {
	body, err := f.open()
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = r.server.Objects.Upload(ctx, api.Grant{URL: to.URL, Headers: to.Headers}, sized{body, f.Size}, nil)
	if err != nil {
		return fmt.Errorf("the %s of build %s: %w", f.Kind, f.BuildID, err)
	}
	return nil
}
