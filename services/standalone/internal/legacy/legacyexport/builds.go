package legacyexport

import (
	"context"
	"fmt"
	"path"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacydb"
	"github.com/expo-free-agent/freeagent/shared/api"
	legacyapi "github.com/expo-free-agent/freeagent/shared/api/legacy"
)

// Whose certificates are written.
const (
	Unfinished = "unfinished"
	All        = "all"
	None       = "none"
)

func (r *run) writeBuilds(ctx context.Context) error {
	return pages(ctx, r, "builds", func(ctx context.Context, p legacyapi.ExportedBuilds) (string, error) {
		for _, b := range p.Builds {
			if err := r.writeBuild(ctx, b); err != nil {
				return "", fmt.Errorf("build %s: %w", b.ID, err)
			}
		}
		return p.Next, nil
	})
}

// writeBuild writes the files first, then the row with its log: a build that has a row is whole.
func (r *run) writeBuild(ctx context.Context, b legacyapi.ExportedBuild) error {
	row := legacydb.Build{
		ID: b.ID, Status: b.Status, Platform: b.Platform, SubmittedAt: b.SubmittedAt, WorkerID: orNil(b.WorkerID),
		StartedAt: orNil(b.StartedAt), CompletedAt: orNil(b.CompletedAt), ErrorMessage: orNil(b.Error), AccessToken: b.AccessToken,
	}
	if err := r.writeFiles(ctx, b, &row); err != nil {
		return err
	}
	var fresh bool
	var present, written int64
	err := again(ctx, func() error {
		return r.to.Write(ctx, func(batch *legacydb.Batch) (err error) {
			if err := r.knowWorker(ctx, batch, b); err != nil {
				return err
			}
			if fresh, present, err = batch.PutBuild(ctx, row); err != nil {
				return err
			}
			written, err = r.writeLog(ctx, batch, b.ID, present)
			return err
		})
	})
	if err != nil {
		return err
	}
	r.report.count("builds", fresh)
	lines := r.report.of("log lines")
	lines.Found, lines.Present, lines.Written = lines.Found+present+written, lines.Present+present, lines.Written+written
	r.builds, r.lines = r.builds+1, r.lines+written
	if r.Progress != nil {
		r.Progress(r.builds, r.lines)
	}
	return nil
}

func orNil[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// knowWorker writes a row for a worker that is gone here: the build's row names it.
func (r *run) knowWorker(ctx context.Context, batch *legacydb.Batch, b legacyapi.ExportedBuild) error {
	if b.WorkerID == "" || r.known[b.WorkerID] {
		return nil
	}
	w := legacydb.Worker{ID: b.WorkerID, Name: b.WorkerName, Status: "offline", Capabilities: "{}", RegisteredAt: b.StartedAt, SeenAt: b.CompletedAt}
	if w.Name == "" {
		w.Name = b.WorkerID
	}
	fresh, err := batch.PutWorker(ctx, w)
	if err == nil {
		r.known[b.WorkerID] = true
		r.report.count("workers", fresh)
	}
	return err
}

// writeLog adds what the log has beyond the lines that are there.
func (r *run) writeLog(ctx context.Context, batch *legacydb.Batch, id string, present int64) (written int64, err error) {
	n := int64(0)
	err = r.server.Builds.ReadLog(ctx, id, func(l api.LogLine) error {
		if n++; n <= present {
			return nil
		}
		at, err := millis(l.At)
		if err != nil {
			return err
		}
		written++
		return batch.AddLine(ctx, id, legacydb.Line{At: at, Level: level(l.Level), Message: l.Text})
	})
	return written, err
}

// writeFiles writes what the build has of files and puts their paths into the row.
func (r *run) writeFiles(ctx context.Context, b legacyapi.ExportedBuild, row *legacydb.Build) error {
	row.SourcePath, row.NoSource, row.NoResult = r.stored("builds", b.ID+".zip"), b.SourceID == "", b.ResultID == ""
	if err := r.writeFile(ctx, "sources", b, b.SourceID, b.Source, "builds", b.ID+".zip"); err != nil {
		return err
	}
	if b.Status == "completed" || b.ResultID != "" {
		name := b.ID + ".ipa"
		if b.Platform == "android" {
			name = b.ID + ".apk"
		}
		row.ResultPath = orNil(r.stored("results", name))
		if err := r.writeFile(ctx, "results", b, b.ResultID, b.Result, "results", name); err != nil {
			return err
		}
	}
	switch {
	case b.CertsID == "":
		return nil
	case r.Certs == None:
		r.report.leave("certificates", b.ID, "certificates are not written (--certs none)")
		return nil
	case r.Certs != All && row.Ended():
		r.report.leave("certificates", b.ID, "its build has ended; --certs all writes them too")
		return nil
	}
	row.CertsPath = orNil(r.stored("certs", b.ID+".zip"))
	return r.writeFile(ctx, "certificates", b, b.CertsID, b.Certs, "certs", b.ID+".zip")
}

// stored is a file's path as the legacy controller will know it.
func (r *run) stored(folder, name string) string { return path.Join(r.StoredAs, folder, name) }
