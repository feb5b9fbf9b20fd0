package standalone

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A data directory has parts that are of no use without one another: four databases, the keys, the
// objects. A part that is missing would be made anew and empty, so a restore that was done by half
// would look like a farm without builds. Therefore each part carries a stamp, a number that all parts
// of a directory share, and installationFile says which. It is written last, so where it is there, all
// parts have been there and stamped. A backup gets a stamp of its own, so its parts cannot be mixed with
// those of the directory that it was made of.
const installationFile = "installation"

// installation is the content of installationFile.
type installation struct {
	Stamp int32 `json:"stamp"`
	// MasterKey is the beginning of the master key's SHA-256: another key could not decrypt the
	// certificates that are stored.
	MasterKey string `json:"master_key,omitempty"`
	// Unfinished is set while parts are being stamped: they may have old and new stamps.
	Unfinished bool `json:"unfinished,omitempty"`
}

// errNoInstallation is returned for an installationFile that says nothing.
var errNoInstallation = errors.New("not a stamp")

// keyFiles are made together at the first start.
func keyFiles() []string {
	return []string{"secrets/master.key", "secrets/token.key", "secrets/ticket.key", "secrets/issuer.nk"}
}

// stampedDirs are the parts that are directories; databases are the others.
func stampedDirs() []string { return []string{"secrets", "objects"} }

// dataQueries ask each database for something that only a farm in use has.
func dataQueries() map[string]string {
	return map[string]string{
		"scheduler": `SELECT EXISTS (SELECT 1 FROM builds)`,
		"monitor":   `SELECT EXISTS (SELECT 1 FROM counted_events)`,
		"ingest":    `SELECT EXISTS (SELECT 1 FROM worker_credentials)`,
		"artifact":  `SELECT EXISTS (SELECT 1 FROM objects)`,
	}
}

// partState is what is found of a part.
type partState struct {
	name  string
	there bool
	stamp int32
	// used: it has data in it. Only databases are asked.
	used bool
	// lost: a server had the database open when it ended, and the -wal file with its last changes is gone.
	lost bool
}

// checkIntact refuses a data directory of which a part is missing or belongs to another one.
func (d *dataDir) checkIntact(ctx context.Context) error {
	parts, err := d.parts(ctx)
	if err != nil {
		return err
	}
	faults, err := d.faults(parts)
	if err != nil || len(faults) == 0 {
		return err
	}
	return fmt.Errorf("data directory %s is not complete: %s. It looks like a restore that was not finished. "+
		"Restore all of it from one backup; or start once with --accept-empty to make what is missing anew, which loses what was in it",
		d.path, strings.Join(faults, "; "))
}

func (d *dataDir) parts(ctx context.Context) ([]partState, error) {
	var all []partState
	for _, name := range databases() {
		p, err := d.databasePart(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	for _, name := range stampedDirs() {
		p := partState{name: name + "/"}
		entries, err := os.ReadDir(d.join(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read %s: %w", d.join(name), cause(err))
		}
		p.there = len(entries) > 0
		if p.stamp, err = d.readStamp(name); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// databasePart looks at a database without making it. A file of no bytes is as good as none.
func (d *dataDir) databasePart(ctx context.Context, name string) (partState, error) {
	p := partState{name: name + ".db"}
	info, err := os.Stat(d.join(p.name))
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("read %s: %w", d.join(p.name), cause(err))
	}
	h, err := readHeader(d.join(p.name))
	if err != nil {
		return p, err
	}
	p.there, p.lost = true, h.lost
	db, err := openExisting(ctx, d.join(p.name))
	if err != nil {
		return p, err
	}
	err = db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&p.stamp)
	if err == nil {
		// Without its table the database is as good as new.
		if e := db.QueryRowContext(ctx, dataQueries()[name]).Scan(&p.used); e != nil && !strings.Contains(e.Error(), "no such table") {
			err = e
		}
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return p, fmt.Errorf("%s cannot be read: %w; restore the data directory from a backup", d.join(p.name), err)
	}
	return p, nil
}

// faults says what keeps the parts from being one installation.
func (d *dataDir) faults(parts []partState) (faults []string, err error) {
	known, err := d.readInstallation()
	if errors.Is(err, errNoInstallation) {
		faults = append(faults, installationFile+" is empty or damaged")
	} else if err != nil {
		return nil, err
	}
	byName := map[string]partState{}
	inUse := known.Stamp != 0 || len(faults) > 0
	for _, p := range parts {
		byName[p.name] = p
		inUse = inUse || p.used || p.stamp != 0 || p.lost
	}
	if !inUse {
		return nil, nil // a new directory, or a first start that did not come to its end
	}
	stamp := known.Stamp
	if stamp == 0 && !known.Unfinished {
		stamp = commonStamp(parts)
	}
	for _, p := range parts {
		switch {
		case !p.there:
			faults = append(faults, p.name+" is missing")
		case p.lost:
			faults = append(faults, p.name+"-wal is missing, which has the last changes of a server that was killed; put it back beside "+p.name)
		case known.Stamp != 0 && p.stamp == 0:
			faults = append(faults, p.name+" was made anew, while the rest is older")
		case stamp != 0 && p.stamp != 0 && p.stamp != stamp:
			faults = append(faults, p.name+" belongs to another data directory or backup")
		}
	}
	if known.Stamp == 0 && byName["artifact.db"].used && byName["scheduler.db"].there && !byName["scheduler.db"].used {
		faults = append(faults, "scheduler.db has no builds, while artifact.db has files of builds")
	}
	keys, err := d.keyFaults(known)
	return append(faults, keys...), err
}

// commonStamp returns the stamp that most parts have, and 0 if none has one.
func commonStamp(parts []partState) (most int32) {
	counts := map[int32]int{}
	for _, p := range parts {
		if p.stamp == 0 {
			continue
		}
		if counts[p.stamp]++; counts[p.stamp] > counts[most] {
			most = p.stamp
		}
	}
	return most
}

func (d *dataDir) keyFaults(known installation) (faults []string, err error) {
	for _, name := range keyFiles() {
		if _, err := os.Stat(d.join(filepath.FromSlash(name))); errors.Is(err, fs.ErrNotExist) {
			faults = append(faults, name+" is missing")
		}
	}
	master, err := os.ReadFile(d.join("secrets", "master.key"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return faults, nil
	case err != nil:
		return nil, fmt.Errorf("read key file: %w", err)
	case known.MasterKey != "" && known.MasterKey != fingerprint(master):
		faults = append(faults, "secrets/master.key is another key than before: stored certificates could not be decrypted")
	}
	return faults, nil
}

func fingerprint(key []byte) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

func (d *dataDir) readInstallation() (known installation, err error) {
	data, err := os.ReadFile(d.join(installationFile))
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return known, fmt.Errorf("read %s: %w", d.join(installationFile), cause(err))
	}
	if json.Unmarshal(data, &known) != nil || known.Stamp == 0 && !known.Unfinished {
		return installation{}, fmt.Errorf("read %s: %w", d.join(installationFile), errNoInstallation)
	}
	return known, nil
}

func (d *dataDir) readStamp(part string) (int32, error) {
	data, err := os.ReadFile(d.join(part, installationFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", d.join(part, installationFile), cause(err))
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%s: want a number, got %.40q", d.join(part, installationFile), data)
	}
	return int32(n), nil
}

// stamp makes the parts of the directory one installation, if they are not yet: at the first start of
// this version, and after --accept-empty.
func (d *dataDir) stamp(ctx context.Context, anew bool) error {
	known, err := d.readInstallation()
	if err != nil && (!anew || !errors.Is(err, errNoInstallation)) {
		return err
	}
	if known.Stamp != 0 && !anew {
		return nil
	}
	return stampDir(ctx, d.path)
}

// stampDir returns a new stamp to all parts of a data directory that no server uses.
func stampDir(ctx context.Context, dir string) error {
	var random [4]byte
	if _, err := rand.Read(random[:]); err != nil {
		return fmt.Errorf("make a stamp: %w", err)
	}
	stamp := int32(binary.LittleEndian.Uint32(random[:])>>1) | 1 // 31 bits
	master, err := os.ReadFile(filepath.Join(dir, "secrets", "master.key"))
	if err != nil {
		return fmt.Errorf("read key file: %w", err)
	}
	// From now on until the end parts may have different stamps.
	if err := writeInstallation(dir, installation{Unfinished: true}); err != nil {
		return err
	}
	for _, name := range databases() {
		if err := stampDatabase(ctx, dir, name, stamp); err != nil {
			return err
		}
	}
	for _, name := range stampedDirs() {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return fmt.Errorf("stamp %s: %w", name, cause(err))
		}
		if err := writeFile(filepath.Join(dir, name, installationFile), []byte(strconv.Itoa(int(stamp))+"\n")); err != nil {
			return err
		}
	}
	return writeInstallation(dir, installation{Stamp: stamp, MasterKey: fingerprint(master)})
}

func writeInstallation(dir string, content installation) error {
	data, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("make a stamp: %w", err)
	}
	return writeFile(filepath.Join(dir, installationFile), append(data, '\n'))
}
