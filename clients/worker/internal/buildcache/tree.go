package buildcache

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
)

// Tree is what a directory holds at one time, to see later what a command has made.
type Tree map[string]state

type state struct {
	mode fs.FileMode
	size int64
	time int64
	link string
}

// Look reads a tree.
func Look(r *os.Root) (Tree, error) {
	t := Tree{}
	err := fs.WalkDir(r.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreGone(err)
		}
		t[name] = stateOf(r, name, info)
		return nil
	})
	return t, err
}

func stateOf(r *os.Root, name string, info fs.FileInfo) state {
	s := state{mode: info.Mode()}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		s.link, _ = r.Readlink(name) // one that vanishes has changed
	case info.Mode().IsRegular():
		s.size, s.time = info.Size(), info.ModTime().UnixNano()
	}
	return s
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Since returns what was made or changed since before: slash paths, where a new directory stands for all in it. removed reports whether
// something is gone, which a snapshot cannot tell.
func Since(r *os.Root, before Tree) (made []string, removed bool, err error) {
	left := maps.Clone(before)
	err = fs.WalkDir(r.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return ignoreGone(err)
		}
		was, had := before[name]
		delete(left, name)
		if !had {
			made = append(made, name)
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return ignoreGone(err)
		}
		if !d.IsDir() && stateOf(r, name, info) != was {
			made = append(made, name)
		}
		return nil
	})
	slices.Sort(made)
	return made, len(left) > 0, err
}
