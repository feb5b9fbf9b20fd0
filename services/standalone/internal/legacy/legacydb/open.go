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
	"strings"

	_ "modernc.org/sqlite" // the driver
)

// ErrInUse says that the controller may still write.
var ErrInUse = errors.New("the legacy controller still has its database open, or died with it open")

// Controller is an open database and its folder. It is for one goroutine, but for Open and Stat of files.
type Controller struct {
	db      *sql.DB
	path    string
	storage *os.Root
	asSeen  os.FileInfo
}

// Open opens the database to be read only, and the folder of files. Unless live, one that may still be written is refused
// with ErrInUse.
func Open(ctx context.Context, path, storage string, live bool) (*Controller, error) {
	path, err := filepath.Abs(path) // in a file URL, the first element of a relative path would be a host
	if err != nil {
		return nil, fmt.Errorf("the database: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("the database: %w", err)
	}
	writing, err := pendingWrites(path)
	if err != nil {
		return nil, err
	}
	if writing != "" && !live {
		return nil, fmt.Errorf("%w: %s exists. Stop the controller, which removes it; if it died, start and stop it once", ErrInUse, writing)
	}
	root, err := os.OpenRoot(storage)
	if err != nil {
		return nil, fmt.Errorf("the folder of files: %w", err)
	}
	db, err := sql.Open("sqlite", source(path, info, writing == ""))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), root.Close())
	}
	db.SetMaxOpenConns(1)
	c := &Controller{db: db, path: path, storage: root, asSeen: info}
	if err := c.recognise(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// pendingWrites names the file that a writer keeps beside the database while it has it open in WAL mode, or after it died.
func pendingWrites(path string) (string, error) {
	for _, suffix := range []string{"-wal", "-journal"} {
		info, err := os.Stat(path + suffix)
		switch {
		case err == nil && info.Size() > 0:
			return path + suffix, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("look for %s: %w", path+suffix, err)
		}
	}
	return "", nil
}

// source opens for reading only. A file in WAL mode to which nothing is pending is opened as one that does not change: SQLite
// would make files of its own beside it otherwise.
func source(path string, info fs.FileInfo, quiet bool) string {
	v := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)", "query_only(1)"}}
	if quiet && info.Size() > 0 && walMode(path) {
		v.Set("immutable", "1")
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: v.Encode()}).String()
}

// walMode reads the file format's version numbers, which are 2 in WAL mode.
func walMode(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [20]byte
	_, err = io.ReadFull(f, head[:])
	return err == nil && head[18] == 2
}

// recognise asks for every column that will be read.
func (c *Controller) recognise(ctx context.Context) error {
	for _, t := range tables() {
		if err := c.has(ctx, t); err != nil {
			return fmt.Errorf("%s is not the legacy controller's database, or cannot be read (table %s): %w", c.path, t.name, err)
		}
	}
	return nil
}

func (c *Controller) has(ctx context.Context, t table) error {
	rows, err := c.db.QueryContext(ctx, `SELECT `+t.columns+` FROM `+t.name+` LIMIT 0`)
	if err != nil {
		return err
	}
	defer rows.Close()
	return rows.Err()
}

// Changed says that the database was written since it was opened.
func (c *Controller) Changed() (bool, error) {
	info, err := os.Stat(c.path)
	if err != nil {
		return false, fmt.Errorf("the database: %w", err)
	}
	writing, err := pendingWrites(c.path)
	return writing != "" || info.Size() != c.asSeen.Size() || !info.ModTime().Equal(c.asSeen.ModTime()), err
}

// Close closes both.
func (c *Controller) Close() error { return errors.Join(c.db.Close(), c.storage.Close()) }

// File opens the file that a path of the database names, wherever the controller kept it; fs.ErrNotExist if no such file exists.
func (c *Controller) File(stored string) (*os.File, error) {
	name, err := below(stored)
	if err != nil {
		return nil, err
	}
	f, err := c.storage.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file: %w", name, fs.ErrInvalid)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// below keeps the last two elements of a path: the folder (builds, certs, results) and the file.
func below(stored string) (string, error) {
	parts := strings.FieldsFunc(stored, func(r rune) bool { return r == '/' || r == '\\' })
	if len(parts) < 2 {
		return "", fmt.Errorf("path %.200q names no file in a folder: %w", stored, fs.ErrInvalid)
	}
	name := filepath.Join(parts[len(parts)-2], parts[len(parts)-1])
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("path %.200q leaves the folder of files: %w", stored, fs.ErrInvalid)
	}
	return name, nil
}
