package standalone

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"modernc.org/sqlite"
)

// Each database says in SQLite's application_id which service it belongs to and whether a server has it
// open. A server that was killed leaves its last commits in the -wal file; SQLite opens a database
// without that file as if nothing were missing. The mark lies in the database's own header, because a
// copy of the .db files alone has it as well. Zero is a database of a version before the marks.
const (
	markBase uint32 = 0x46410000 // "FA"
	markOpen uint32 = 1
)

// mark returns the application_id of a service's database.
func mark(service string, open bool) uint32 {
	id := markBase | uint32(slices.Index(databases(), service)+1)<<8 // at most 4
	if open {
		id |= markOpen
	}
	return id
}

// header is what can be read of a database file without opening it as a database, which could already
// change it.
type header struct {
	there bool
	mark  uint32
	// lost reports that the database was open when its server ended and that its -wal file is gone.
	lost bool
}

const (
	headerSize = 100
	// markAt is the offset of application_id in SQLite's file format.
	markAt = 68
)

// readHeader must not be called while this process has the database open: closing any descriptor of a
// file drops all locks that the process holds on it.
func readHeader(path string) (h header, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return h, fmt.Errorf("read %s: %w", path, cause(err))
	}
	defer f.Close()
	var head [headerSize]byte
	if _, err = io.ReadFull(f, head[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return h, nil // no database yet; what is damaged is found later
	}
	if err != nil {
		return h, fmt.Errorf("read %s: %w", path, cause(err))
	}
	h.there, h.mark = true, binary.BigEndian.Uint32(head[markAt:])
	if h.mark&0xffff0000 == markBase && h.mark&markOpen != 0 {
		wal, err := os.Stat(path + "-wal")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return h, fmt.Errorf("read %s-wal: %w", path, cause(err))
		}
		h.lost = err != nil || wal.Size() == 0
	}
	return h, nil
}

// owner returns the service that a mark names, and "" if it names none.
func owner(id uint32) string {
	for _, name := range databases() {
		if id&^markOpen == mark(name, false) {
			return name
		}
	}
	return ""
}

// checkNames refuses databases that lie under another one's name. It comes before anything that writes
// to them, such as a migration.
func (d *dataDir) checkNames(ctx context.Context) error {
	var faults []string
	for _, name := range databases() {
		file := name + ".db"
		h, err := readHeader(d.join(file))
		if err != nil {
			return err
		}
		switch {
		case !h.there || h.mark == mark(name, false) || h.mark == mark(name, true):
		case owner(h.mark) != "":
			faults = append(faults, fmt.Sprintf("%s has the data of %s.db", file, owner(h.mark)))
		case h.mark != 0:
			faults = append(faults, file+" is the database of another program")
		default:
			other, err := ownerByTables(ctx, d.join(file), name)
			if err != nil {
				return err
			}
			if other != "" {
				faults = append(faults, fmt.Sprintf("%s has the data of %s.db", file, other))
			}
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("databases in %s have wrong names: %s. Nothing was changed. "+
		"Rename each file, together with its -wal file, to the name of what it has; or restore the whole directory from one backup",
		d.path, strings.Join(faults, "; "))
}

// mainTables name a table of each database that no other has.
func mainTables() map[string]string {
	return map[string]string{"builds": "scheduler", "counted_events": "monitor", "worker_credentials": "ingest", "objects": "artifact"}
}

// ownerByTables returns the service whose tables are in an unmarked database, and "" if those of the
// wanted one are or none. A file that is no database is left to later checks.
func ownerByTables(ctx context.Context, path, want string) (other string, err error) {
	db, err := openExisting(ctx, path)
	if err != nil {
		return "", nil // reported with its cure by the checks that follow
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, `SELECT name FROM sqlite_master WHERE type = 'table'`)
	if err != nil {
		return "", nil
	}
	defer rows.Close()
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			return "", fmt.Errorf("read %s: %w", path, err)
		}
		switch service := mainTables()[table]; service {
		case "":
		case want:
			return "", nil
		default:
			other = service
		}
	}
	if err := rows.Err(); err != nil {
		return "", nil
	}
	return other, nil
}

// openExisting opens a SQLite file that is there with one connection. Closing it keeps the -wal file: only
// a server that marks the database as closed may remove that.
func openExisting(ctx context.Context, path string) (*sql.DB, error) {
	v := url.Values{"_pragma": {"busy_timeout(30000)"}, "mode": {"rw"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: v.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	if err := keepWAL(ctx, db, true); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	return db, nil
}

// keepWAL sets whether the -wal file stays when the last connection is closed.
func keepWAL(ctx context.Context, db *sql.DB, keep bool) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	err = conn.Raw(func(c any) error {
		control, ok := c.(sqlite.FileControl)
		if !ok {
			return errors.New("the SQLite driver has no file control")
		}
		mode := 0
		if keep {
			mode = 1
		}
		_, err := control.FileControlPersistWAL("main", mode)
		return err
	})
	return errors.Join(err, conn.Close())
}

// markTimeout bounds how long setting a mark waits for the disk.
const markTimeout = 30 * time.Second

// marker is a connection to an open database that sets its mark, and outlives all others: if the mark
// cannot be taken back, the -wal file must stay.
type marker struct {
	db      *sql.DB
	service string
}

func newMarker(ctx context.Context, dir *dataDir, service string) (*marker, error) {
	db, err := openExisting(ctx, dir.join(service+".db"))
	return &marker{db, service}, err
}

// set writes the mark into the database file itself, not only into its -wal file.
func (m *marker) set(ctx context.Context, open bool) error {
	ctx, cancel := context.WithTimeout(ctx, markTimeout)
	defer cancel()
	_, err := m.db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", mark(m.service, open))) // it takes no parameters
	var busy, frames, copied int
	if err == nil {
		err = m.db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &frames, &copied)
	}
	if err == nil && (busy != 0 || copied < frames) {
		err = fmt.Errorf("%d of %d pages written", copied, frames)
	}
	if err != nil {
		return fmt.Errorf("mark %s.db: %w", m.service, err)
	}
	return nil
}

// close marks the database as closed, closes what else is open of it, and ends as its last connection. A
// mark that cannot be written, as on a full disk, is no fault: the next start finds the -wal file.
func (m *marker) close(closeDB func() error) error {
	ctx := context.Background() // the server's has ended
	if m.set(ctx, false) == nil {
		_ = keepWAL(ctx, m.db, false) // else it stays, which does no harm
	}
	return errors.Join(closeDB(), m.db.Close())
}

// markDatabases marks the databases as open, all at once: each takes syncs of the disk.
func (a *App) markDatabases(ctx context.Context) error {
	faults := make(chan error, len(a.markers))
	for _, m := range a.markers {
		go func() { faults <- m.set(ctx, true) }()
	}
	var err error
	for range a.markers {
		err = errors.Join(err, <-faults)
	}
	return err
}

// stampDatabase returns a database its stamp, and the mark of one that is closed.
func stampDatabase(ctx context.Context, dir, service string, stamp int32) error {
	path := filepath.Join(dir, service+".db")
	db, err := openExisting(ctx, path)
	if err != nil {
		return err
	}
	// Pragmas take no parameters.
	_, err = db.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d; PRAGMA application_id = %d", stamp, mark(service, false)))
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("stamp %s: %w", path, err)
	}
	return nil
}
