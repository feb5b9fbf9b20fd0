package shell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/buildcache"
	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// RestoreBundle implements runtime.Cacher. The key of Metro's cache has that of the install.
func (w *workspace) RestoreBundle(ctx context.Context, plan pipeline.Plan) (line string) {
	if w.kept.key == "" || w.whyNoCache(plan) != "" {
		return ""
	}
	line, err := w.tryBundle(ctx, plan)
	if err != nil {
		return "Metro's cache is not used: " + err.Error()
	}
	return line
}

func (w *workspace) tryBundle(ctx context.Context, plan pipeline.Plan) (line string, err error) {
	root, err := os.OpenRoot(plan.Root)
	if err != nil {
		return "", err
	}
	defer root.Close()
	facts, err := w.facts(plan, "")
	if err != nil {
		return "", err
	}
	if plan.Custom != nil { // its commands may read what the build is
		facts.Machine = append(facts.Machine, facts.Build...)
	}
	app, err := filepath.Rel(plan.Root, plan.App)
	if err != nil {
		return "", err
	}
	key, whyNot, err := buildcache.BundleKey(root.FS(), filepath.ToSlash(app), w.kept.key, facts)
	if err != nil {
		return "", err
	}
	if whyNot != "" {
		return "Metro's cache is not used: " + whyNot, nil
	}
	tmp, err := os.OpenRoot(filepath.Join(w.dir, "tmp"))
	if err != nil {
		return "", err
	}
	defer tmp.Close()
	if key == w.kept.bundleKey {
		return "", nil
	}
	if w.kept.bundleKey != "" {
		w.kept.bundleKey = ""
		if err := removeBundle(tmp); err != nil {
			return "", err
		}
	}
	fetched := w.shared.fetch(ctx, "Metro's cache", bundleCache, key)
	snap, ok, err := w.executor.caches.Restore(ctx, w.scope(), bundleCache, key, tmp)
	if err != nil {
		return fetched, err
	}
	w.kept.bundleKey = key
	if w.kept.bundle, err = buildcache.Look(tmp); err != nil || !ok {
		return fetched, err
	}
	w.shared.offer(bundleCache, key)
	return after(fetched, fmt.Sprintf("Metro's cache%s: %d files, %s", ofWhom(snap), snap.Files, text.Size(snap.Bytes))), nil
}

// maxBundle bounds Metro's cache, in bytes: Metro removes nothing from it. A larger one starts anew.
const maxBundle = 1 << 30

func (w *workspace) keepBundle(ctx context.Context) (line string, err error) {
	tmp, err := os.OpenRoot(filepath.Join(w.dir, "tmp"))
	if err != nil {
		return "", err
	}
	defer tmp.Close()
	made, removed, err := buildcache.Since(tmp, w.kept.bundle)
	changed := slices.ContainsFunc(made, isMetro)
	if err != nil || !changed && !removed {
		return "", err
	}
	names, err := bundleNames(tmp)
	if err != nil {
		return "", err
	}
	snap, err := w.executor.caches.Keep(ctx, w.scope(), bundleCache, w.kept.bundleKey, tmp, names, maxBundle)
	if errors.Is(err, buildcache.ErrTooLarge) {
		return "", w.executor.caches.Drop(w.scope(), bundleCache, w.kept.bundleKey)
	}
	if err != nil {
		return "", err
	}
	w.shared.offer(bundleCache, w.kept.bundleKey)
	return fmt.Sprintf("Metro's cache kept: %d files, %s as %s", snap.Files, text.Size(snap.Bytes), text.Size(snap.Packed)), nil
}

func isMetro(name string) bool {
	return strings.HasPrefix(name, "metro-") || strings.HasPrefix(name, "haste-map-")
}

// bundleNames returns what Metro has in a directory for temporary files.
func bundleNames(tmp *os.Root) (names []string, err error) {
	entries, err := fs.ReadDir(tmp.FS(), ".")
	for _, e := range entries {
		if isMetro(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func removeBundle(tmp *os.Root) error {
	names, err := bundleNames(tmp)
	errs := []error{err}
	for _, name := range names {
		errs = append(errs, tmp.RemoveAll(name))
	}
	return errors.Join(errs...)
}
