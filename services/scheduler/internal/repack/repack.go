// Package repack finds builds whose result can get a new JavaScript bundle, and says what a build is repacked from.
//
// # Which builds
//
// A build can be repacked if it completed as a native build of the same project and platform, its worker recorded a native fingerprint, and
// its result is an app that @expo/repack-app reads. Without a certain build, the newest of the same profile is meant, of the same branch or a
// trusted one. Whether the native part is that of the new sources is decided by the worker, after the install.
//
// # Races
//
// The submit checks its source in the transaction that stores the build, with a lock on the source. Retention keeps a source for as long as a
// build that is repacked from it has not ended.
package repack

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/reuse"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/easjson"
)

// Repacks answers requests about builds to repack. It is safe for concurrent use.
type Repacks struct {
	store *store.Store
	// trusted are patterns of branches whose builds every branch may repack.
	trusted []string
}

// New returns the service. trusted are patterns of branches, as path.Match has them.
func New(s *store.Store, trusted []string) *Repacks {
	return &Repacks{store: s, trusted: trusted}
}

// maxCandidates bounds the builds that are looked at: those of branches that are not trusted may hide no more.
const maxCandidates = 200

// maxFingerprint bounds a fingerprint in bytes.
const maxFingerprint = 128

// FindRepack returns a completed build whose result may get a new JavaScript bundle, or why there is none.
func (r *Repacks) FindRepack(ctx context.Context, req *schedulerv1.FindRepackRequest) (*schedulerv1.FindRepackResponse, error) {
	platform, err := build.ParsePlatform(req.GetPlatform())
	if err != nil {
		return nil, err
	}
	switch {
	case req.GetProject() == "" || !build.ValidName(req.GetProject()):
		return nil, fmt.Errorf("%w: repacking needs the name of a project (got %.120q)", build.ErrInvalid, req.GetProject())
	case req.GetBuildId() != "" && !build.ValidID(req.GetBuildId()):
		return nil, fmt.Errorf("%w: build id %.120q", build.ErrInvalid, req.GetBuildId())
	case len(req.GetFingerprint()) > maxFingerprint:
		return nil, fmt.Errorf("%w: fingerprint %.40q… (at most %d characters)", build.ErrInvalid, req.GetFingerprint(), maxFingerprint)
	}
	var resp *schedulerv1.FindRepackResponse
	err = r.store.Update(ctx, func(tx *store.Tx) error {
		var found store.Build
		var reason string
		var err error
		if req.GetBuildId() != "" {
			found, reason, err = certain(ctx, tx, req.GetBuildId(), req.GetProject(), platform)
		} else {
			found, reason, err = r.newest(ctx, tx, req, platform)
		}
		resp = &schedulerv1.FindRepackResponse{Reason: reason}
		if err == nil && reason == "" {
			resp.Source = view(found)
		}
		return err
	})
	return resp, err
}

// newest returns the newest build that a submit may repack.
func (r *Repacks) newest(ctx context.Context, tx *store.Tx, req *schedulerv1.FindRepackRequest, p build.Platform) (b store.Build, reason string, err error) {
	f := store.RepackFilter{
		Project: req.GetProject(), Platform: p, Profiles: [2]string{req.GetProfile(), req.GetProfile()}, Fingerprint: req.GetFingerprint(),
	}
	if req.GetProfile() == "" || req.GetProfile() == easjson.Default {
		f.Profiles = [2]string{"", easjson.Default}
	}
	all, err := store.RepacksIn(tx).Find(ctx, f, maxCandidates)
	if err != nil {
		return b, "", err
	}
	reason = fmt.Sprintf("no native build of project %s for %s with profile %s has completed and recorded its native fingerprint", f.Project, p, f.Profiles[1])
	for _, b := range all {
		why := whyNot(b, f.Project, p)
		if why == "" && b.Origin.Branch != req.GetBranch() && !reuse.IsTrusted(r.trusted, b.Origin.Branch) {
			why = fmt.Sprintf("build %s is of branch %q, which is not trusted. Name it with --repack=%[1]s if you trust it", b.ID, b.Origin.Branch)
		}
		if why == "" {
			return b, "", nil
		}
		reason = why
	}
	return b, reason, nil
}

// certain returns a build by its id, with its row locked.
func certain(ctx context.Context, tx *store.Tx, id, project string, p build.Platform) (b store.Build, reason string, err error) {
	b, err = tx.Build(ctx, id)
	if errors.Is(err, build.ErrNotFound) || err == nil && (b.Project != project || b.Platform != p) {
		// One text for both: it says nothing of builds of other projects.
		return b, fmt.Sprintf("project %s has no build %s for %s, or it has expired", project, id, p), nil
	}
	if err != nil {
		return b, "", err
	}
	return b, whyNot(b, project, p), nil
}

// whyNot says why a build cannot be repacked; empty if it can.
func whyNot(b store.Build, project string, p build.Platform) string {
	switch {
	case b.Project != project || b.Platform != p:
		return fmt.Sprintf("build %s is of another project or platform", b.ID)
	case b.Settings.RepackFrom != "":
		return fmt.Sprintf("build %s is itself repacked from build %s; name that one", b.ID, b.Settings.RepackFrom)
	case !b.State.Final():
		return fmt.Sprintf("build %s has not ended: it is %s", b.ID, b.State)
	case b.State != build.Completed:
		return fmt.Sprintf("build %s is %s", b.ID, b.State)
	case b.Result.GetObjectId() == "" || !Readable(p, b.Result.GetName()):
		return fmt.Sprintf("the result of build %s is %q, which cannot be repacked: it takes %s", b.ID, b.Result.GetName(), kinds(p))
	case b.NativeFingerprint == "":
		return fmt.Sprintf("build %s has no recorded native fingerprint: it is a development client, made no native app, or its worker could not compute it", b.ID)
	}
	return ""
}

// Readable reports whether a file name is that of an app that can be repacked.
func Readable(p build.Platform, name string) bool {
	if p == build.Android {
		return strings.EqualFold(path.Ext(name), ".apk")
	}
	return strings.EqualFold(path.Ext(name), ".ipa")
}

func kinds(p build.Platform) string {
	if p == build.Android {
		return "an .apk (buildType apk in eas.json)"
	}
	return "an .ipa"
}

func view(b store.Build) *schedulerv1.RepackSource {
	return &schedulerv1.RepackSource{
		BuildId: b.ID, Fingerprint: b.NativeFingerprint, Result: b.Result, Commit: b.Origin.Commit, Branch: b.Origin.Branch,
		FinishedAtMs: store.Millis(b.FinishedAt),
	}
}

// Check returns build.ErrInvalid unless b is a native build, or can be repacked from what it names. The source's row stays locked, so that
// it does not expire before b is stored.
func Check(ctx context.Context, tx *store.Tx, b store.Build) error {
	from := b.Settings.RepackFrom
	if from == "" {
		return nil
	}
	_, reason, err := certain(ctx, tx, from, b.Project, b.Platform)
	if err != nil {
		return err
	}
	if b.Project == "" {
		reason = "a build is repacked within its project. Name the project"
	}
	if reason != "" {
		return fmt.Errorf("%w: cannot repack: %s. Submit a native build, without --repack", build.ErrInvalid, reason)
	}
	return nil
}

// SourceOf returns what b is repacked from; nil for a native build, and if the source is not stored any more.
func SourceOf(ctx context.Context, s *store.Store, b store.Build) (*schedulerv1.RepackSource, error) {
	from := b.Settings.RepackFrom
	if from == "" {
		return nil, nil //nolint:nilnil // most builds have none
	}
	source, err := s.Build(ctx, from)
	if errors.Is(err, build.ErrNotFound) || err == nil && whyNot(source, b.Project, b.Platform) != "" {
		return nil, nil //nolint:nilnil // the worker says so
	}
	if err != nil {
		return nil, err
	}
	return view(source), nil
}

// label is required of the workers of builds that are repacked: those of earlier versions would make a native build.
const label, labelValue = "repack", "1"

// Require adds the label to what a repacked build requires.
func Require(s build.Settings) build.Requirements {
	if s.RepackFrom == "" {
		return s.Requires
	}
	labels := s.Requires.Labels()
	labels[label] = labelValue
	return build.Require(labels)
}

// Finish records the native fingerprint of a completed build, if its result can be repacked.
func Finish(ctx context.Context, tx *store.Tx, b store.Build, m *schedulerv1.Made) error {
	f := m.GetFingerprint()
	if !m.GetRepackable() || f == "" || len(f) > maxFingerprint || b.Settings.RepackFrom != "" {
		return nil
	}
	return store.RepacksIn(tx).Finish(ctx, b.ID, f)
}
