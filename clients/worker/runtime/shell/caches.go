package shell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/buildcache"
	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/shared/text"
)

var _ runtime.Cacher = (*workspace)(nil)

// Names of snapshots.
const (
	installCache = "install"
	bundleCache  = "metro"
	pathsCache   = "paths"
)

// kept is what an attempt knows of its caches.
type kept struct {
	// key is that of the install.
	key     string
	install *install
	// installs is true when the install can be kept, before is the source before it.
	installs bool
	before   buildcache.Tree
	// bundleKey is set when Metro's cache can be kept, bundle is how it was restored.
	bundleKey string
	bundle    buildcache.Tree
}

// scope is who shares caches with this build. A build of no project shares with nobody.
func (w *workspace) scope() buildcache.Scope {
	return buildcache.Scope{Project: w.job.Project, Branch: w.job.Origin.Branch}
}

// whyNoCache says why nothing is restored and kept; empty: it is.
func (w *workspace) whyNoCache(plan pipeline.Plan) string {
	switch {
	case w.job.Project == "":
		return "the build names no project"
	case plan.Cache.Disabled:
		return "the profile disables it"
	}
	return ""
}

// facts are what installs and bundles depend on beside the source.
func (w *workspace) facts(plan pipeline.Plan, command string) (buildcache.Facts, error) {
	env := map[string]string{}
	for name, value := range w.executor.base { // what the worker passes; tools stand for the PATH
		if !slices.Contains(Passed(), name) {
			env[name] = value
		}
	}
	maps.Copy(env, plan.Env)
	set, err := w.wasSet()
	if err != nil {
		return buildcache.Facts{}, err
	}
	maps.Copy(env, set)
	// In the first build a tool may have been fetched, and so be the last.
	machine := append([]string{goruntime.GOOS, goruntime.GOARCH, string(w.job.Platform)}, slices.Sorted(slices.Values(w.versions))...)
	machine = append(machine, plan.Profile)
	build := []string{w.job.Origin.Commit, w.job.Settings.BuildNumber, w.job.Settings.Username}
	return buildcache.Facts{Machine: machine, Command: command, Build: build, Env: env}, nil
}

// RestoreInstall implements runtime.Cacher.
func (w *workspace) RestoreInstall(ctx context.Context, plan pipeline.Plan, command string) (restored bool, line string, err error) {
	if why := w.whyNoCache(plan); why != "" {
		return false, "install is not cached: " + why, nil
	}
	restored, line, err = w.restoreInstall(ctx, plan, command)
	if err == nil || errors.Is(err, errPartly) {
		return restored, line, err
	}
	return false, "install is not cached: " + err.Error(), nil
}

// errPartly means that a part of a snapshot was restored: package managers would take it for a whole install.
var errPartly = errors.New("install from the cache failed")

func (w *workspace) restoreInstall(ctx context.Context, plan pipeline.Plan, command string) (restored bool, line string, err error) {
	root, err := os.OpenRoot(plan.Root)
	if err != nil {
		return false, "", err
	}
	defer root.Close()
	facts, err := w.facts(plan, command)
	if err != nil {
		return false, "", err
	}
	key, whyNot, err := buildcache.InstallKey(root.FS(), *plan.Install, facts)
	w.kept.key = key
	if err != nil || whyNot != "" {
		return false, "install is not cached: " + whyNot, err
	}
	w.kept.install = &install{
		caches: w.executor.caches, log: w.executor.log.With("attempt", w.job.Key()), scope: w.scope(), key: key, root: plan.Root,
	}
	fetched := w.shared.fetch(ctx, "install", installCache, key)
	began := time.Now()
	snap, how, err := w.kept.install.restore(ctx, root)
	if err != nil {
		return false, "", fmt.Errorf("%w: %w", errPartly, err)
	}
	if how != "" {
		w.shared.offer(installCache, key)
		return true, after(fetched, fmt.Sprintf("install from the cache%s: %d files, %s, %s in %s (nothing that it depends on has changed)",
			ofWhom(snap), snap.Files, text.Size(snap.Bytes), how, time.Since(began).Round(time.Millisecond))), nil
	}
	w.kept.installs = true
	w.kept.before, err = buildcache.Look(root)
	return false, after(fetched, "install is not in the cache; it is kept for the next build"), err
}

// after puts a line after another, if there is one.
func after(first, line string) string {
	switch {
	case first == "":
		return line
	case line == "":
		return first
	}
	return first + "\n" + line
}

func ofWhom(s buildcache.Snapshot) string {
	if s.Trusted {
		return " of trusted branches"
	}
	return ""
}

// KeepInstall implements runtime.Cacher.
func (w *workspace) KeepInstall(ctx context.Context) (line string) {
	if !w.kept.installs {
		return ""
	}
	line, err := w.keepInstall(ctx)
	if err != nil {
		return "install is not kept: " + err.Error()
	}
	return line
}

// maxInstall bounds what is kept of an install, in bytes.
const maxInstall = 8 << 30

func (w *workspace) keepInstall(ctx context.Context) (line string, err error) {
	root, err := os.OpenRoot(w.kept.install.root)
	if err != nil {
		return "", err
	}
	defer root.Close()
	began := time.Now()
	made, removed, err := buildcache.Since(root, w.kept.before)
	if err != nil {
		return "", err
	}
	if removed {
		return "install is not kept: it removed files of the source", nil
	}
	snap, err := w.executor.caches.Keep(ctx, w.scope(), installCache, w.kept.key, root, made, maxInstall)
	if err != nil {
		return "", err
	}
	w.kept.install.mark(ctx, root, snap)
	w.shared.offer(installCache, w.kept.key)
	return fmt.Sprintf("install kept: %d files, %s as %s in %s", snap.Files, text.Size(snap.Bytes), text.Size(snap.Packed), time.Since(began).Round(time.Millisecond)), nil
}

// RestoreCaches implements runtime.Cacher.
func (w *workspace) RestoreCaches(ctx context.Context, plan pipeline.Plan) (lines []string) {
	if w.whyNoCache(plan) != "" {
		return nil
	}
	if len(plan.Cache.Paths) > 0 {
		lines = append(lines, w.restorePaths(ctx, plan))
	}
	return lines
}

// KeepCaches implements runtime.Cacher.
func (w *workspace) KeepCaches(ctx context.Context, plan pipeline.Plan) (lines []string) {
	if w.whyNoCache(plan) != "" {
		return nil
	}
	if w.kept.bundleKey != "" {
		if line, err := w.keepBundle(ctx); err != nil {
			lines = append(lines, "Metro's cache is not kept: "+err.Error())
		} else if line != "" {
			lines = append(lines, line)
		}
	}
	if len(plan.Cache.Paths) > 0 {
		lines = append(lines, w.keepPaths(ctx, plan))
	}
	return lines
}

// maxPaths bounds what a profile's paths keep, in bytes.
const maxPaths = 4 << 30

// pathsOf returns the paths below the source's root that the profile names, and those that are elsewhere.
func pathsOf(plan pipeline.Plan) (inside, outside []string) {
	app, err := filepath.Rel(plan.Root, plan.App)
	if err != nil {
		return nil, plan.Cache.Paths
	}
	for _, p := range plan.Cache.Paths {
		if at := path.Join(filepath.ToSlash(app), p); !path.IsAbs(p) && !strings.HasPrefix(p, "~") && fs.ValidPath(at) && at != "." {
			inside = append(inside, at)
		} else {
			outside = append(outside, p)
		}
	}
	return inside, outside
}

func (w *workspace) restorePaths(ctx context.Context, plan pipeline.Plan) (line string) {
	inside, outside := pathsOf(plan)
	if len(outside) > 0 {
		line = fmt.Sprintf("cache.paths outside of the source are not kept: %s; ", strings.Join(outside, ", "))
	}
	root, err := os.OpenRoot(plan.Root)
	if err != nil {
		return line + "cache.paths are not restored: " + err.Error()
	}
	defer root.Close()
	snap, ok, err := w.executor.caches.Restore(ctx, w.scope(), pathsCache, buildcache.PathsKey(plan.Cache.Key, inside), root)
	switch {
	case err != nil:
		return line + "cache.paths are not restored: " + err.Error()
	case !ok:
		return line + "cache.paths are not in the cache; they are kept after the build"
	}
	return fmt.Sprintf("%scache.paths%s: %d files, %s", line, ofWhom(snap), snap.Files, text.Size(snap.Bytes))
}

func (w *workspace) keepPaths(ctx context.Context, plan pipeline.Plan) (line string) {
	inside, _ := pathsOf(plan)
	root, err := os.OpenRoot(plan.Root)
	if err != nil {
		return "cache.paths are not kept: " + err.Error()
	}
	defer root.Close()
	snap, err := w.executor.caches.Keep(ctx, w.scope(), pathsCache, buildcache.PathsKey(plan.Cache.Key, inside), root, inside, maxPaths)
	if err != nil {
		return "cache.paths are not kept: " + err.Error()
	}
	return fmt.Sprintf("cache.paths kept: %d files, %s as %s", snap.Files, text.Size(snap.Bytes), text.Size(snap.Packed))
}
