package legacyexport

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	legacyapi "github.com/expo-free-agent/freeagent/shared/api/legacy"
)

// errDamaged says that a file did not arrive as the server knows it.
var errDamaged = errors.New("what came is not what the server has: SHA-256 differs")

// writeFile writes a file of a build unless it is there with the same content. One that the server lacks is told.
func (r *run) writeFile(ctx context.Context, kind string, b legacyapi.ExportedBuild, id, sum, folder, name string) error {
	if id == "" {
		r.report.leave(kind, b.ID, "the server does not have the file")
		return nil
	}
	dir := filepath.Join(r.Dir, folder)
	to := filepath.Join(dir, name)
	have, err := hashFile(to)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if have == sum {
		r.report.count(kind, false)
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of files: %w", err)
	}
	err = again(ctx, func() error { return r.fetch(ctx, id, sum, to) })
	if err != nil {
		return fmt.Errorf("%s: %w", to, err)
	}
	r.report.count(kind, true)
	return nil
}

func hashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// fetch writes beside the file's place, syncs, and moves it there.
func (r *run) fetch(ctx context.Context, id, sum, to string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(to), ".export-*")
	if err != nil {
		return fmt.Errorf("make a file: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	h := sha256.New()
	_, err = legacyapi.New(r.server).ExportFile(ctx, id, io.MultiWriter(f, h))
	if err == nil && hex.EncodeToString(h.Sum(nil)) != sum {
		err = errDamaged
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), to); err != nil {
		return fmt.Errorf("move a file to its place: %w", err)
	}
	return nil
}
