package embeds3

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Sync makes an object survive a power cut: its file, then each directory up
// to the store's root, since any of them may be new. The error tells fs.ErrNotExist
// for a missing object.
func (s *Server) Sync(bucket, key string) error {
	file := filepath.Join(s.root, bucket, filepath.FromSlash(key))
	if err := syncTree(s.root, file); err != nil {
		return fmt.Errorf("sync object %q: %w", key, err)
	}
	if s.attrs == "" {
		return nil // extended attributes are synced with the file
	}
	if err := syncAttributes(s.attrs, filepath.Join(s.attrs, bucket, filepath.FromSlash(key), "meta")); err != nil {
		return fmt.Errorf("sync attributes of object %q: %w", key, err)
	}
	return nil
}

// syncTree syncs path and its parents up to root.
func syncTree(root, path string) error {
	if path != root && !strings.HasPrefix(path, root+string(filepath.Separator)) {
		return fmt.Errorf("%s is outside %s", path, root)
	}
	for {
		if err := syncOne(path); err != nil {
			return err
		}
		if path == root {
			return nil
		}
		path = filepath.Dir(path)
	}
}

func syncAttributes(root, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := syncOne(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return syncTree(root, dir)
}

func syncOne(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
