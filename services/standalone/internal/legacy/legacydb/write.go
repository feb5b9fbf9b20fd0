package legacydb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
)

// Writer writes a database for the legacy controller. It is for one goroutine. Nothing stands under the file's name until
// Finish: what breaks leaves a file that ends in .partial, which the next Create replaces.
type Writer struct {
	db            *sql.DB
	path, partial string
}

// Create begins a database: an empty one, or a copy of base if that is not empty. A file that is there already is refused.
func Create(ctx context.Context, path, base string) (*Writer, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("the database: %w", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("%s is there already; name a new file", path), err)
	}
	w := &Writer{path: path, partial: path + ".partial"}
	for _, left := range []string{w.partial, w.partial + "-journal"} {
		if err := os.Remove(left); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("remove what an earlier run left: %w", err)
		}
	}
	if base != "" {
		if err := copyDatabase(ctx, base, w.partial); err != nil {
			return nil, err
		}
	}
	// Without a journal on disk: a run that breaks is begun anew.
	v := url.Values{"_pragma": {"journal_mode(DELETE)", "synchronous(OFF)", "cache_size(-32768)"}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: filepath.ToSlash(w.partial), RawQuery: v.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", w.partial, err)
	}
	db.SetMaxOpenConns(1)
	w.db = db
	if base == "" {
		if _, err := db.ExecContext(ctx, schema); err != nil {
			return nil, errors.Join(fmt.Errorf("make %s: %w", w.partial, err), db.Close())
		}
	}
	return w, nil
}

// copyDatabase copies one that nobody writes.
func copyDatabase(ctx context.Context, from, to string) error {
	writing, err := pendingWrites(from)
	if err == nil && writing != "" {
		err = fmt.Errorf("%w: %s exists", ErrInUse, writing)
	}
	if err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("the base: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("copy the base: %w", err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close(), ctx.Err()); err != nil {
		return fmt.Errorf("copy the base: %w", err)
	}
	return nil
}

// Finish syncs the database and gives it its name.
func (w *Writer) Finish(ctx context.Context) error {
	_, err := w.db.ExecContext(ctx, `PRAGMA optimize`)
	if err = errors.Join(err, w.db.Close()); err != nil {
		return fmt.Errorf("finish the database: %w", err)
	}
	if err := syncFile(w.partial); err != nil {
		return err
	}
	if err := os.Link(w.partial, w.path); err != nil { // not Rename: what has come meanwhile is not replaced
		return fmt.Errorf("finish the database: %w", err)
	}
	if err := os.Remove(w.partial); err != nil {
		return fmt.Errorf("finish the database: %w", err)
	}
	return syncFile(filepath.Dir(w.path))
}

func syncFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	return nil
}

// Close ends a run that has not finished; what was written stays as a partial file.
func (w *Writer) Close() error { return w.db.Close() }

// Batch is a transaction.
type Batch struct{ tx *sql.Tx }

// Write runs f in a transaction: all or nothing.
func (w *Writer) Write(ctx context.Context, f func(*Batch) error) error {
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write the database: %w", err)
	}
	if err := f(&Batch{tx}); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("write the database: %w", err)
	}
	return nil
}

func (b *Batch) exec(ctx context.Context, what, q string, args ...any) (bool, error) {
	res, err := b.tx.ExecContext(ctx, q, args...)
	if err != nil {
		return false, fmt.Errorf("write %s: %w", what, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// PutWorker adds a worker, or brings the counts and times of one that is there up to date; fresh says that it is new.
func (b *Batch) PutWorker(ctx context.Context, w Worker) (fresh bool, err error) {
	_, err = b.exec(ctx, "worker "+w.ID, `UPDATE workers SET last_seen_at = max(last_seen_at, ?),
		builds_completed = max(coalesce(builds_completed, 0), ?), builds_failed = max(coalesce(builds_failed, 0), ?) WHERE id = ?`,
		w.SeenAt, w.Completed, w.Failed, w.ID)
	if err != nil {
		return false, err
	}
	return b.exec(ctx, "worker "+w.ID, `INSERT OR IGNORE INTO workers
		(id, name, status, capabilities, registered_at, last_seen_at, builds_completed, builds_failed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		w.ID, w.Name, w.Status, w.Capabilities, w.RegisteredAt, w.SeenAt, w.Completed, w.Failed)
}

// PutBuild adds a build, or brings one that is there up to date: it keeps its token, and the paths of files that were not written. fresh
// says that it is new, and lines how many its log has.
func (b *Batch) PutBuild(ctx context.Context, v Build) (fresh bool, lines int64, err error) {
	_, err = b.exec(ctx, "build "+v.ID, `UPDATE builds SET status = ?, worker_id = ?, started_at = ?, completed_at = ?,
		error_message = ?, source_path = CASE WHEN ? THEN source_path ELSE ? END, certs_path = coalesce(?, certs_path),
		result_path = CASE WHEN ? THEN coalesce(result_path, ?) ELSE coalesce(?, result_path) END WHERE id = ?`,
		v.Status, v.WorkerID, v.StartedAt, v.CompletedAt, v.ErrorMessage, v.NoSource, v.SourcePath, v.CertsPath,
		v.NoResult, v.ResultPath, v.ResultPath, v.ID)
	if err != nil {
		return false, 0, err
	}
	fresh, err = b.exec(ctx, "build "+v.ID, `INSERT OR IGNORE INTO builds (`+buildColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, v.ID, v.Status, v.Platform, v.SourcePath, v.CertsPath, v.ResultPath, v.WorkerID,
		v.SubmittedAt, v.StartedAt, v.CompletedAt, v.ErrorMessage, v.AccessToken)
	if err != nil || fresh {
		return fresh, 0, err
	}
	if err := b.tx.QueryRowContext(ctx, `SELECT count(*) FROM build_logs WHERE build_id = ?`, v.ID).Scan(&lines); err != nil {
		return false, 0, fmt.Errorf("count the log of build %s: %w", v.ID, err)
	}
	return false, lines, nil
}

// AddLine adds a line to a build's log; with an id of 0 it gets the next one.
func (b *Batch) AddLine(ctx context.Context, buildID string, l Line) error {
	_, err := b.exec(ctx, "a log line of build "+buildID, `INSERT INTO build_logs (id, build_id, timestamp, level, message) VALUES (nullif(?, 0), ?, ?, ?, ?)`,
		l.ID, buildID, l.At, l.Level, l.Message)
	return err
}

// PutReport adds a report unless it is there.
func (b *Batch) PutReport(ctx context.Context, d Report) (fresh bool, err error) {
	return b.exec(ctx, "report "+d.ID, `INSERT OR IGNORE INTO diagnostics (`+reportColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		d.ID, d.WorkerID, d.Status, d.RunAt, d.DurationMs, d.AutoFixed, d.Checks)
}

// PutSnapshot adds a snapshot unless one is there with its build and time; it keeps its id if that is free.
func (b *Batch) PutSnapshot(ctx context.Context, s Snapshot) (fresh bool, err error) {
	return b.exec(ctx, "a snapshot of build "+s.BuildID, `INSERT INTO cpu_snapshots (id, build_id, timestamp, cpu_percent, memory_mb)
		SELECT CASE WHEN ?1 = 0 OR EXISTS (SELECT 1 FROM cpu_snapshots WHERE id = ?1) THEN NULL ELSE ?1 END, ?2, ?3, ?4, ?5
		WHERE NOT EXISTS (SELECT 1 FROM cpu_snapshots WHERE build_id = ?2 AND timestamp = ?3 AND cpu_percent = ?4 AND memory_mb = ?5 AND (?1 = 0 OR id = ?1))`,
		s.ID, s.BuildID, s.At, s.CPUPercent, s.MemoryMB)
}
