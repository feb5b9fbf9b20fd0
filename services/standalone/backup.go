package standalone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pkg/xattr"
	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/shared/paths"
)

// NewBackup returns the command `freeagent backup`.
func NewBackup(out io.Writer, getenv func(string) string) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "backup NEWDIR",
		Short: "Copy a standalone's data directory while it runs",
		Long: `Makes NEWDIR a data directory that is consistent in itself, whether or not a server runs on the old one: databases are copied
as of one moment, keys and files besides. To restore, start on it: freeagent up --data-dir NEWDIR.

Files do not change once they are written, so on the same file system they are linked, not copied; pack or copy NEWDIR elsewhere
afterwards, with extended attributes. Streams are not copied: the log lines of builds that run are lost with a restore, and those
builds begin again. NEWDIR holds every key: keep it as you keep those.`,
		Example: `  freeagent backup --data-dir /srv/freeagent /backup/monday && tar --xattrs -C /backup/monday -czf monday.tar.gz .`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := dataDirOf(dir, getenv)
			if err != nil {
				return err
			}
			b, err := Backup(cmd.Context(), from, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s: %d databases, %d files linked, %d copied\n", args[0], b.Databases, b.Linked, b.Copied)
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "data-dir", "", "the data directory to copy (FREEAGENT_DATA_DIR; default: the user's data directory)")
	return cmd
}

func dataDirOf(flag string, getenv func(string) string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if dir := getenv("FREEAGENT_DATA_DIR"); dir != "" {
		return dir, nil
	}
	dir, err := paths.DataDir(getenv)
	if err != nil {
		return "", fmt.Errorf("%w; name a data directory with --data-dir", err)
	}
	return dir, nil
}

// BackedUp counts what a backup holds.
type BackedUp struct{ Databases, Linked, Copied int }

// databases in the order in which they are copied: what one names is in those after it. A build names objects, never the reverse.
func databases() []string { return []string{"scheduler", "monitor", "ingest", "artifact"} }

// Backup copies the data directory from to the new directory to, which appears when it is whole. A server may run on from.
func Backup(ctx context.Context, from, to string) (b BackedUp, err error) {
	// In SQLite's file URLs, the first element of a relative path would be a host.
	if from, err = filepath.Abs(from); err == nil {
		to, err = filepath.Abs(to)
	}
	if err != nil {
		return b, fmt.Errorf("directories of the backup: %w", err)
	}
	if _, err := os.Stat(filepath.Join(from, "scheduler.db")); err != nil {
		return b, fmt.Errorf("%s is no data directory: %w", from, cause(err))
	}
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return b, errors.Join(fmt.Errorf("%s is there already; name a new directory", to), err)
	}
	partial := to + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return b, fmt.Errorf("remove what an earlier backup left: %w", err)
	}
	if err := os.MkdirAll(partial, 0o700); err != nil {
		return b, fmt.Errorf("make the backup: %w", err)
	}
	// Files twice: those from before the databases' moment, which may be deleted after it, and those that came until then.
	for _, step := range []func() error{
		func() error { return b.tree(ctx, from, partial, "objects") },
		func() error { return b.databases(ctx, from, partial) },
		func() error { return b.tree(ctx, from, partial, "objects") },
		func() error { return b.tree(ctx, from, partial, "secrets") },
		func() error { return b.file(from, partial, "admin.key") },
		func() error { return b.file(from, partial, filepath.Join("bus", "port")) },
		// Its own stamp: what is restored of it by half, or over something else, is refused at the start.
		func() error { return stampDir(ctx, partial) },
	} {
		if err := step(); err != nil {
			return b, err
		}
	}
	if err := os.Rename(partial, to); err != nil {
		return b, fmt.Errorf("finish the backup: %w", err)
	}
	return b, syncDir(filepath.Dir(to))
}

func (b *BackedUp) databases(ctx context.Context, from, to string) error {
	for _, name := range databases() {
		if err := copyDatabase(ctx, filepath.Join(from, name+".db"), filepath.Join(to, name+".db")); err != nil {
			return fmt.Errorf("copy %s.db: %w", name, err)
		}
		b.Databases++
	}
	return nil
}

// copyDatabase takes a snapshot, which readers and the writer of the old file do not notice.
func copyDatabase(ctx context.Context, from, to string) error {
	db, err := openExisting(ctx, from)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, to)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Chmod(to, 0o600); err != nil {
		return err
	}
	return syncDir(to) // a file, too
}

// tree copies the files below a folder that are not there yet. What vanishes meanwhile was deleted by the server.
func (b *BackedUp) tree(ctx context.Context, from, to, folder string) error {
	err := filepath.WalkDir(filepath.Join(from, folder), func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return copyDir(path, filepath.Join(to, rel))
		}
		if !d.Type().IsRegular() || d.Name() == installationFile && filepath.Dir(rel) == folder {
			return nil // the backup gets stamps of its own
		}
		return b.file(from, to, rel)
	})
	if err != nil {
		return fmt.Errorf("copy %s: %w", folder, err)
	}
	return nil
}

func copyDir(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	return copyAttributes(from, to)
}

// file links or copies one file; one that is gone is no fault. Keys are copied, as they are small and must never be shared.
func (b *BackedUp) file(from, to, name string) error {
	source, target := filepath.Join(from, name), filepath.Join(to, name)
	if _, err := os.Lstat(target); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return err
	}
	if strings.HasPrefix(name, "objects"+string(filepath.Separator)) {
		if err := os.Link(source, target); err == nil {
			b.Linked++
			return nil
		} else if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	err := copyFile(source, target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		b.Copied++
	}
	return err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	return copyAttributes(from, to)
}

// copyAttributes copies what the object store keeps beside a file's bytes, where the file system has that.
func copyAttributes(from, to string) error {
	names, err := xattr.List(from)
	if err != nil {
		return nil //nolint:nilerr // a file system without attributes has none to copy
	}
	for _, name := range names {
		value, err := xattr.Get(from, name)
		if err != nil {
			return err
		}
		if err := xattr.Set(to, name, value); err != nil {
			return fmt.Errorf("the backup's file system keeps no extended attributes: %w", err)
		}
	}
	return nil
}
