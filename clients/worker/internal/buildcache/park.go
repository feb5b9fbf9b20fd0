package buildcache

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Marks tell whether somebody has written to the files of a tree since they were read: a mark has the time of the last change of the inode, which
// no program can set.
type Marks map[string]mark

type mark struct {
	Mode              fs.FileMode
	Size              int64
	Modified, Changed int64
	Inode             uint64
}

// settled is longer than the clock of change times stands still: a tick of the kernel, 10 ms at most (CONFIG_HZ=100).
const settled = 20 * time.Millisecond

// MarksOf reads the marks of paths below a directory. What is written after it returned has other marks.
func MarksOf(ctx context.Context, r *os.Root, paths []string) (Marks, error) {
	began := time.Now()
	m, err := marksOf(ctx, r, paths)
	if err != nil {
		return nil, fmt.Errorf("build cache: %w", err)
	}
	select {
	case <-time.After(time.Until(began.Add(settled))):
		return m, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func marksOf(ctx context.Context, r *os.Root, paths []string) (Marks, error) {
	m := Marks{}
	for _, p := range paths {
		err := fs.WalkDir(r.FS(), p, func(name string, d fs.DirEntry, err error) error {
			if err := errors.Join(err, ctx.Err()); err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if m[name] = markOf(info); d.IsDir() && info.Mode()&0o700 != 0o700 {
				return errReadOnly
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

// errReadOnly means that a tree has directories that cannot be moved.
var errReadOnly = errors.New("the install has directories that are read-only")

// errChanged means that a build has written to what it was given.
var errChanged = errors.New("the build has changed files of the install")

// restore removes what a build has added to a tree, and gives directories their times again. It is errChanged if files have changed or are gone.
func (m Marks) restore(ctx context.Context, r *os.Root, paths []string) error {
	now, err := marksOf(ctx, r, paths)
	if errors.Is(err, fs.ErrNotExist) {
		return errChanged
	}
	if err != nil {
		return err
	}
	var added, touched []string
	for name, is := range now {
		was, had := m[name]
		switch {
		case !had:
			added = append(added, name)
		case is == was:
		case is.Mode.IsDir() && is.Mode == was.Mode:
			touched = append(touched, name)
		default:
			return errChanged
		}
	}
	if len(now)-len(added) != len(m) {
		return errChanged // something is gone
	}
	for _, name := range added {
		if err := r.RemoveAll(name); err != nil {
			return err
		}
	}
	for _, name := range touched {
		at := time.Unix(0, m[name].Modified)
		if err := r.Chtimes(name, at, at); err != nil {
			return err
		}
	}
	return nil
}

// same reports whether a tree has the marks that it was parked with. Directories, and single files that were moved, have other times after a move.
func (m Marks) same(now Marks, paths []string) bool {
	if len(m) != len(now) {
		return false
	}
	for name, was := range m {
		is := now[name]
		if was.Mode.IsDir() || slices.Contains(paths, name) {
			is.Modified, is.Changed = was.Modified, was.Changed
		}
		if is != was {
			return false
		}
	}
	return true
}

// Parked is a tree: what it holds, and its marks.
type Parked struct {
	Snapshot
	Marks Marks
}

const parkedList = "parked"

// maxParked bounds the trees of a name in a scope: an app has one for each platform.
const maxParked = 4

// Park moves paths out of a directory, for a later Take, if they are as their marks say; what was added to them is removed. It does nothing if a
// tree of the key is parked, or if the directory is on another disk.
func (s *Store) Park(ctx context.Context, c Scope, name, key string, from *os.Root, p Parked) error {
	if err := s.park(ctx, c, name, key, from, p); err != nil {
		return fmt.Errorf("build cache: %w", err)
	}
	return nil
}

func (s *Store) park(ctx context.Context, c Scope, name, key string, from *os.Root, p Parked) error {
	own, _ := s.own(c)
	tree := treeOf(own, name, key)
	if _, err := os.Lstat(tree); err == nil || !canPark || len(p.Paths) == 0 {
		return nil
	}
	if err := p.Marks.restore(ctx, from, p.Paths); err != nil {
		return err
	}
	if err := os.MkdirAll(own, 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(own, ".park-")
	if err != nil {
		return err
	}
	err = writeParked(filepath.Join(tmp, parkedList), p)
	for i, at := range p.Paths {
		if err == nil {
			err = moveOut(from, at, filepath.Join(tmp, strconv.Itoa(i)))
		}
	}
	if err == nil {
		err = os.Rename(tmp, tree)
	}
	if err != nil {
		return errors.Join(ignoreExist(err), discard(tmp))
	}
	touch(tree)
	return s.thin(own, name)
}

// Take moves a tree that was parked into a directory. ok is false if there is none, or if somebody has written to it. After an error the
// directory may have parts of it.
func (s *Store) Take(ctx context.Context, c Scope, name, key string, into *os.Root) (p Parked, ok bool, err error) {
	own, _ := s.own(c)
	tree := treeOf(own, name, key)
	if _, err := os.Lstat(tree); err != nil || !canPark {
		return Parked{}, false, nil
	}
	tmp, err := os.MkdirTemp(own, ".park-")
	if err == nil {
		err = os.Rename(tree, filepath.Join(tmp, "tree")) // the build that moves it has it
	}
	defer func() { _ = discard(tmp) }() // what is left is pruned later
	if errors.Is(err, fs.ErrNotExist) {
		return Parked{}, false, nil
	}
	if err != nil {
		return Parked{}, false, fmt.Errorf("build cache: %w", err)
	}
	if ok, err := p.check(ctx, filepath.Join(tmp, "tree")); err != nil || !ok {
		return Parked{}, false, nil // the snapshot is taken instead
	}
	for i, at := range p.Paths {
		if err := moveIn(filepath.Join(tmp, "tree", strconv.Itoa(i)), into, at); err != nil {
			return Parked{}, false, fmt.Errorf("build cache: %w", err)
		}
		if info, err := into.Lstat(at); err == nil {
			p.Marks[at] = markOf(info)
		}
	}
	touch(own)
	return p, true, nil
}

// check reads a parked tree, and reports whether it is as it was: the machine may have lost power before its files were on disk.
func (p *Parked) check(ctx context.Context, tree string) (bool, error) {
	if err := p.read(filepath.Join(tree, parkedList)); err != nil {
		return false, err
	}
	r, err := os.OpenRoot(tree)
	if err != nil {
		return false, err
	}
	defer r.Close()
	now := Marks{}
	for i, at := range p.Paths {
		there := strconv.Itoa(i)
		m, err := marksOf(ctx, r, []string{there})
		if err != nil {
			return false, err
		}
		for name, is := range m {
			now[at+strings.TrimPrefix(name, there)] = is
		}
	}
	return p.Marks.same(now, p.Paths), nil
}

func (p *Parked) read(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return gob.NewDecoder(bufio.NewReader(f)).Decode(p)
}

func writeParked(name string, p Parked) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	return errors.Join(gob.NewEncoder(w).Encode(p), w.Flush(), f.Close())
}

func treeOf(dir, name, key string) string { return filepath.Join(dir, treePrefix+name+"-"+key) }

const treePrefix = "tree-"

// thin removes the trees of a name that are more than a scope keeps, the oldest first.
func (s *Store) thin(own, name string) error {
	entries, err := os.ReadDir(own)
	if err != nil {
		return err
	}
	var oldest fs.FileInfo
	n := 0
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), treePrefix+name+"-") {
			continue
		}
		n++
		if info, err := e.Info(); err == nil && (oldest == nil || info.ModTime().Before(oldest.ModTime())) {
			oldest = info
		}
	}
	if n <= maxParked || oldest == nil {
		return nil
	}
	return discard(filepath.Join(own, oldest.Name()))
}

// discard removes a directory that nobody may use from now on, not even one that looks into it at this moment.
func discard(dir string) error {
	gone := filepath.Join(filepath.Dir(dir), ".gone-"+filepath.Base(dir))
	if err := os.Rename(dir, gone); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return os.RemoveAll(gone)
}

// parentIn opens the directory of a path below r, and makes it if need be.
func parentIn(r *os.Root, at string) (*os.File, error) {
	dir := path.Dir(at)
	if err := r.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return r.Open(dir)
}
