package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/shared/archive"
)

// result is what a build delivers, ready to be sent.
type result struct {
	file   *os.File
	name   string
	size   int64
	sha256 string
}

// deliver finds what the plan promises, packs it if need be, and uploads it.
func (a *attempt) deliver(ctx context.Context, ws runtime.Workspace, plan pipeline.Plan) (string, error) {
	r, err := collect(ctx, ws, plan)
	if err != nil {
		return "", err
	}
	defer r.file.Close()
	id, err := a.upload(ctx, r)
	if err == nil {
		a.say(ctx, "info", fmt.Sprintf("result: %s, %s, SHA-256 %s", r.name, bytesText(r.size), r.sha256))
	}
	return id, err
}

// collect returns a single file as it is, and packs anything else into one archive.
func collect(ctx context.Context, ws runtime.Workspace, plan pipeline.Plan) (result, error) {
	found, err := pipeline.Match(plan.Root, plan.Result)
	if err != nil {
		return result{}, err
	}
	if len(found) == 0 {
		return result{}, fmt.Errorf("the stages ended well, but the %w %q is not there", errResult, plan.Result)
	}
	if len(found) > 1 {
		return pack(ctx, ws, plan.Root, plan.Name, only(found))
	}
	// The root's own view of links: nothing outside is delivered.
	root, err := os.OpenRoot(plan.Root)
	if err != nil {
		return result{}, fmt.Errorf("collect the result: %w", err)
	}
	defer root.Close()
	f, err := root.Open(found[0])
	if err != nil {
		return result{}, fmt.Errorf("collect the %w: %w", errResult, err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		f.Close()
		return pack(ctx, ws, filepath.Join(plan.Root, filepath.FromSlash(found[0])), plan.Name, nil)
	case !info.Mode().IsRegular() || info.Size() == 0:
		err = fmt.Errorf("the %w %q is empty or no file", errResult, found[0])
	default:
		return measure(f, path.Base(found[0]))
	}
	f.Close()
	return result{}, err
}

// only packs the named paths, what is below them, and the directories above.
func only(paths []string) func(string, fs.DirEntry) bool {
	return func(rel string, _ fs.DirEntry) bool {
		for _, p := range paths {
			if rel == p || strings.HasPrefix(rel, p+"/") || strings.HasPrefix(p, rel+"/") {
				return true
			}
		}
		return false
	}
}

func pack(ctx context.Context, ws runtime.Workspace, dir, name string, filter func(string, fs.DirEntry) bool) (result, error) {
	f, err := os.OpenFile(filepath.Join(ws.Scratch(), "result.tar.gz"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return result{}, fmt.Errorf("pack the result: %w", err)
	}
	sum, err := archive.PackTarGz(ctx, f, dir, archive.PackOptions{Filter: filter})
	if err == nil && sum.Files == 0 {
		err = fmt.Errorf("the directory has no files: %w", errResult)
	}
	if err != nil {
		f.Close()
		return result{}, fmt.Errorf("pack the result: %w", err)
	}
	return measure(f, name+".tar.gz")
}

// measure gives size and SHA-256 of the file, which it closes after an error.
func measure(f *os.File, name string) (result, error) {
	h := sha256.New()
	_, err := f.Seek(0, io.SeekStart)
	var size int64
	if err == nil {
		size, err = io.Copy(h, f)
	}
	if err != nil {
		f.Close()
		return result{}, fmt.Errorf("read the result: %w", err)
	}
	return result{file: f, name: name, size: size, sha256: hex.EncodeToString(h.Sum(nil))}, nil
}
