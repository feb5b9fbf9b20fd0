package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// result is the file that a build delivers.
type result struct {
	file   *os.File
	name   string
	size   int64
	sha256 string
}

// ErrResult means that the stages succeeded and there is nothing to deliver; the text says what was looked for.
var ErrResult = errors.New("result")

// DeliverResult finds the plan's result, packs it if need be, uploads it and returns its object id.
func (t *Transfers) DeliverResult(ctx context.Context, ws runtime.Workspace, plan pipeline.Plan) (string, error) {
	r, err := collect(ctx, ws, plan)
	if err != nil {
		return "", err
	}
	defer r.file.Close()
	// A stage may have named the file after a secret. Lists and downloads show the name.
	if masked := t.Mask(r.name); masked != r.name {
		r.name = strings.NewReplacer("[", "", "]", "").Replace(masked)
	}
	id, err := t.upload(ctx, artifactv1.Kind_KIND_RESULT, r)
	if err == nil {
		t.Log(ctx, "info", fmt.Sprintf("result: %s, %s, SHA-256 %s", r.name, text.Size(r.size), r.sha256))
	}
	return id, err
}

// collect finds the result. A single file is delivered as it is; anything else is packed into one archive.
func collect(ctx context.Context, ws runtime.Workspace, plan pipeline.Plan) (result, error) {
	if plan.Custom != nil && len(plan.Uploads) == 0 {
		return nothing(ctx, ws, plan)
	}
	// The directory's own view of links: nothing outside is delivered.
	dir, found, err := find(plan)
	if err != nil {
		return result{}, err
	}
	defer dir.Close()
	if len(found) > 1 {
		return pack(ctx, ws, base(plan), plan.Name, only(found))
	}
	f, err := dir.Open(found[0])
	if err != nil {
		return result{}, fmt.Errorf("collect the %w: %w", ErrResult, err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		f.Close()
		return pack(ctx, ws, filepath.Join(base(plan), filepath.FromSlash(found[0])), plan.Name, nil)
	case !info.Mode().IsRegular() || info.Size() == 0:
		err = fmt.Errorf("the %w %q is empty or no file", ErrResult, found[0])
	default:
		return measure(f, path.Base(found[0]))
	}
	f.Close()
	return result{}, err
}

// base is the directory that the paths of the result are relative to.
func base(plan pipeline.Plan) string {
	if plan.Custom != nil {
		return plan.Root
	}
	return plan.App
}

// find returns the slash paths of the result, and opens base.
func find(plan pipeline.Plan) (dir *os.Root, found []string, err error) {
	if plan.Custom != nil {
		if dir, err = os.OpenRoot(plan.Root); err != nil {
			return nil, nil, fmt.Errorf("open the project: %w", err)
		}
		for _, name := range plan.Uploads {
			if _, err := dir.Stat(filepath.FromSlash(name)); err != nil {
				dir.Close()
				return nil, nil, fmt.Errorf("a step after its upload has removed the %w %q", ErrResult, name)
			}
		}
		return dir, plan.Uploads, nil
	}
	if dir, err = plan.OpenApp(); err != nil {
		return nil, nil, err
	}
	if found, err = pipeline.Match(dir, plan.Result); err == nil && len(found) == 0 {
		err = fmt.Errorf("the stages ended well, but the %w %q is not there", ErrResult, plan.Result)
	}
	if err != nil {
		dir.Close()
		return nil, nil, err
	}
	return dir, found, nil
}

// nothing is the result of a custom build that uploads nothing: every build has one, EAS's have none then.
func nothing(ctx context.Context, ws runtime.Workspace, plan pipeline.Plan) (result, error) {
	dir := filepath.Join(ws.Scratch(), "nothing")
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "NOTHING-UPLOADED.txt"), []byte("No step of this custom build uploaded an application archive.\n"), 0o600)
	}
	if err != nil {
		return result{}, fmt.Errorf("write the result: %w", err)
	}
	return pack(ctx, ws, dir, plan.Name, nil)
}

// only returns a filter of the given paths, what is below them, and the directories above.
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
		err = fmt.Errorf("the directory has no files: %w", ErrResult)
	}
	if err != nil {
		f.Close()
		return result{}, fmt.Errorf("pack the result: %w", err)
	}
	return measure(f, name+".tar.gz")
}

// measure returns the file with its size and SHA-256. It closes the file after an error.
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
