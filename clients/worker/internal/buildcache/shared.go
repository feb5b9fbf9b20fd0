package buildcache

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Has reports whether a build of the scope finds a snapshot.
func (s *Store) Has(c Scope, name, key string) bool {
	_, reads := s.own(c)
	for _, dir := range reads {
		if _, err := os.Stat(file(dir, name, key)); err == nil {
			return true
		}
	}
	return false
}

// Open opens the snapshot that builds of the scope have kept: not one of another scope that they only read.
func (s *Store) Open(c Scope, name, key string) (*os.File, error) {
	own, _ := s.own(c)
	f, err := os.Open(file(own, name, key))
	if err != nil {
		return nil, fmt.Errorf("build cache: %w", err)
	}
	return f, nil
}

// Import adds a snapshot that fetch writes. fetch says whether there is one, and whether it is one of the trusted branches: then it is theirs here,
// too.
func (s *Store) Import(
	ctx context.Context, c Scope, name, key string, fetch func(ctx context.Context, to *os.File) (trusted, ok bool, err error),
) (ok bool, err error) {
	own, reads := s.own(c)
	if err := os.MkdirAll(own, 0o700); err != nil {
		return false, fmt.Errorf("build cache: %w", err)
	}
	f, err := os.CreateTemp(own, ".keep-")
	if err != nil {
		return false, fmt.Errorf("build cache: %w", err)
	}
	trusted, ok, err := fetch(ctx, f)
	err = errors.Join(err, f.Close())
	if err != nil || !ok {
		return false, errors.Join(err, os.Remove(f.Name()))
	}
	dir := own
	if trusted {
		dir = reads[len(reads)-1]
	}
	if err = os.MkdirAll(dir, 0o700); err == nil {
		err = os.Rename(f.Name(), file(dir, name, key))
	}
	if err != nil {
		return false, errors.Join(fmt.Errorf("build cache: %w", err), os.Remove(f.Name()))
	}
	touch(own)
	touch(dir)
	return true, nil
}
