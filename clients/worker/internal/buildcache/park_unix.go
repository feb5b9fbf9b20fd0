//go:build linux || darwin

package buildcache

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"
)

// canPark reports whether trees can be parked: marks need the change times of inodes.
const canPark = true

func markOf(info fs.FileInfo) mark {
	m := mark{Mode: info.Mode(), Size: info.Size(), Modified: info.ModTime().UnixNano()}
	if info.IsDir() {
		m.Size = 0 // grows with what is added
		return m
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok {
		m.Changed, m.Inode = changed(st), st.Ino
	}
	return m
}

// moveOut moves a path below a directory to a name on the same disk. It never follows a link out of the directory.
func moveOut(from *os.Root, at, to string) error {
	dir, err := parentIn(from, at)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Renameat(int(dir.Fd()), path.Base(at), unix.AT_FDCWD, to); err != nil {
		return &fs.PathError{Op: "rename", Path: at, Err: err}
	}
	return nil
}

// moveIn is the opposite of moveOut. A file that is there is replaced.
func moveIn(from string, into *os.Root, at string) error {
	dir, err := parentIn(into, at)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Renameat(unix.AT_FDCWD, from, int(dir.Fd()), path.Base(at)); err != nil {
		return &fs.PathError{Op: "rename", Path: at, Err: err}
	}
	return nil
}

// ignoreExist drops errors that only mean that a tree cannot be parked: another build was first, or the disk is another.
func ignoreExist(err error) error {
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EXDEV) {
		return nil
	}
	return err
}
