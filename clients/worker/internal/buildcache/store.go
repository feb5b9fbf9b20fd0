package buildcache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Scope is who shares caches. Its zero value shares with nobody: nothing is kept.
type Scope struct {
	// Project is the name of the project, Branch that of the source.
	Project, Branch string
}

// Config of a Store.
type Config struct {
	Dir string
	// Trusted are patterns of branches that share caches which all branches of their project read: "main", "release/*".
	Trusted []string
	// MaxBytes and MaxAge bound what Prune leaves.
	MaxBytes int64
	MaxAge   time.Duration
}

// Store keeps caches in a directory. It is safe for concurrent use.
type Store struct {
	cfg Config

	mu     sync.Mutex
	pruned time.Time
}

// New returns the store in cfg.Dir, which it creates when it keeps something.
func New(cfg Config) *Store { return &Store{cfg: cfg} }

// trusted reports whether builds of a branch share caches with those of other trusted branches.
func (s *Store) trusted(branch string) bool {
	return slices.ContainsFunc(s.cfg.Trusted, func(pattern string) bool {
		ok, err := path.Match(pattern, branch)
		return err == nil && ok
	})
}

// own returns the directory that builds of a scope write to; reads has those that they read, in order.
func (s *Store) own(c Scope) (own string, reads []string) {
	shared := s.dirOf(c.Project, "trusted", "")
	if s.trusted(c.Branch) {
		return shared, []string{shared}
	}
	own = s.dirOf(c.Project, "branch", c.Branch)
	return own, []string{own, shared}
}

func (s *Store) dirOf(parts ...string) string {
	return filepath.Join(s.cfg.Dir, hashOf(parts...)[:24])
}

// LiveDir returns a directory that builds of a scope share as it is, such as a package manager's store, and creates it.
func (s *Store) LiveDir(c Scope, name string) (string, error) {
	own, _ := s.own(c)
	dir := filepath.Join(own, "live", name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("build cache: %w", err)
	}
	touch(own)
	return dir, nil
}

// file returns the name of a snapshot in the directory of a scope.
func file(dir, name, key string) string { return filepath.Join(dir, name+"-"+key+".tar.zst") }

// touch marks a file or directory as used now. That it cannot is no matter: it is pruned earlier.
func touch(name string) {
	now := time.Now()
	_ = os.Chtimes(name, now, now)
}

// Snapshot is a restored or kept snapshot.
type Snapshot struct {
	// Files and Bytes count what is in it, Packed is the size of the archive in bytes.
	Files  int
	Bytes  int64
	Packed int64
	// Paths are slash paths that it consists of: a directory stands for all in it.
	Paths []string
	// Trusted means that it is not of the build's own branch.
	Trusted bool
}

// Restore brings a snapshot back into a directory. ok is false if there is none. After an error the directory may have parts of it.
func (s *Store) Restore(ctx context.Context, c Scope, name, key string, into *os.Root) (snap Snapshot, ok bool, err error) {
	own, reads := s.own(c)
	for _, dir := range reads {
		f, err := os.Open(file(dir, name, key))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Snapshot{}, false, fmt.Errorf("build cache: %w", err)
		}
		snap, err = unpack(ctx, f, into)
		f.Close()
		if err != nil {
			if ctx.Err() == nil { // it would fail the next time as well
				err = errors.Join(err, os.Remove(f.Name()))
			}
			return Snapshot{}, false, fmt.Errorf("build cache: %w", err)
		}
		touch(f.Name())
		touch(dir)
		snap.Trusted = dir != own
		return snap, true, nil
	}
	return Snapshot{}, false, nil
}

// Keep packs paths of a directory as a snapshot of the scope: slash paths, each a file, a link, or a directory with all in it. One under the same
// key is replaced. More than most bytes are ErrTooLarge.
func (s *Store) Keep(ctx context.Context, c Scope, name, key string, from *os.Root, paths []string, most int64) (Snapshot, error) {
	own, _ := s.own(c)
	if err := os.MkdirAll(own, 0o700); err != nil {
		return Snapshot{}, fmt.Errorf("build cache: %w", err)
	}
	f, err := os.CreateTemp(own, ".keep-")
	if err != nil {
		return Snapshot{}, fmt.Errorf("build cache: %w", err)
	}
	snap, err := pack(ctx, f, from, paths, most)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file(own, name, key))
	}
	if err != nil {
		return Snapshot{}, errors.Join(fmt.Errorf("build cache: %w", err), os.Remove(f.Name()))
	}
	touch(own)
	return snap, nil
}

// ErrTooLarge means that what should be kept exceeds its bound.
var ErrTooLarge = errors.New("too large to be kept")

// Drop removes a snapshot of the scope, if there is one.
func (s *Store) Drop(c Scope, name, key string) error {
	own, _ := s.own(c)
	if err := os.Remove(file(own, name, key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("build cache: %w", err)
	}
	return nil
}

// entry is something that can be pruned: a snapshot, or the live directories of a scope.
type entry struct {
	path string
	used time.Time
	size int64
}

// pruneEvery is the time between two rounds of Prune: each walks through all files.
const pruneEvery = time.Hour

// inUse is how long after its last use a cache may still be read or written by a build: longer than one command of a build takes.
const inUse = 4 * time.Hour

// Prune removes what exceeds the bounds, the least recently used first, at most once an hour. What a build may use now stays.
func (s *Store) Prune(now time.Time) error {
	s.mu.Lock()
	if now.Sub(s.pruned) < pruneEvery {
		s.mu.Unlock()
		return nil
	}
	s.pruned = now
	s.mu.Unlock()
	all, err := s.entries()
	if err != nil {
		return fmt.Errorf("prune build caches: %w", err)
	}
	slices.SortFunc(all, func(a, b entry) int { return b.used.Compare(a.used) })
	var total int64
	var errs []error
	for _, e := range all {
		total += e.size
		if age := now.Sub(e.used); age > inUse && (total > s.cfg.MaxBytes || age > s.cfg.MaxAge) {
			errs = append(errs, discard(e.path))
			total -= e.size
		}
	}
	return errors.Join(errs...)
}

func (s *Store) entries() (all []entry, err error) {
	scopes, err := os.ReadDir(s.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	errs := []error{err}
	for _, scope := range scopes {
		dir := filepath.Join(s.cfg.Dir, scope.Name())
		info, err := scope.Info()
		if err != nil {
			continue // gone
		}
		if !scope.IsDir() || len(scope.Name()) != 24 { // of an earlier version
			all = append(all, entry{path: dir})
			continue
		}
		parts, err := os.ReadDir(dir)
		errs = append(errs, err)
		for _, p := range parts {
			e := entry{path: filepath.Join(dir, p.Name()), used: info.ModTime()}
			pi, err := p.Info()
			switch {
			case err != nil:
				continue
			case strings.HasPrefix(p.Name(), "."): // being packed or moved, or left by a worker that was killed
				if time.Since(pi.ModTime()) < pruneEvery {
					continue
				}
				e.used = time.Time{}
			case p.IsDir():
				e.size = sizeOf(e.path)
				if strings.HasPrefix(p.Name(), treePrefix) {
					e.used = pi.ModTime()
				}
			default:
				e.size, e.used = pi.Size(), pi.ModTime()
			}
			all = append(all, e)
		}
		if len(parts) == 0 {
			errs = append(errs, os.Remove(dir))
		}
	}
	return all, errors.Join(errs...)
}

func sizeOf(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil // what vanishes meanwhile counts nothing
	})
	return cmp.Or(n, 1)
}
