// Package reuse finds completed builds that may stand for a new one, and records that they do.
//
// # Which builds match
//
// A build matches if nothing that decides its result differs from what the new build would have. The client answers for the source and the
// profile (the key), the artifact service for the farm's variables, the worker for its machine, and this package for the build itself: it
// completed, its branch is the same or trusted, and its build number is the one asked for.
//
// # Races
//
// A reuse is recorded in the transaction that checks all of this, with a lock on the build. Retention does not expire a build for an hour
// after its last reuse, so there is time to download the result.
package reuse

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/view"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Reuses answers requests for reuse. It is safe for concurrent use.
type Reuses struct {
	machine *transition.Machine
	// trusted are patterns of branches whose builds every branch may reuse.
	trusted []string
	require Require
}

// Require returns the requirements that a build gets when it is submitted, see dispatch.Dispatcher.Require.
type Require func(ctx context.Context, b store.Build, prefers build.Requirements) (build.Requirements, []string, error)

// New returns the service. trusted are patterns of branches, as path.Match has them.
func New(m *transition.Machine, trusted []string, require Require) *Reuses {
	return &Reuses{machine: m, trusted: trusted, require: require}
}

// CheckPatterns returns an error for a pattern of branches that is none.
func CheckPatterns(patterns []string) error {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("%q is not a pattern of branches", p)
		}
	}
	return nil
}

// digestLength is that of a SHA-256 in hexadecimal.
const digestLength = 64

// maxText bounds fingerprints and digests of others, in bytes.
const maxText = 128

func isDigest(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == digestLength
}

// KeyOf returns the key of a submit; ok is false for a submit without one, for a retry, which is submitted because its build is not good
// enough, and for one that is repacked, whose result has another signature than a build's. It returns build.ErrInvalid for a faulty key.
func KeyOf(r *schedulerv1.SubmitRequest) (k store.BuildKey, ok bool, err error) {
	in := r.GetReuseKey()
	if in.GetKey() == "" || r.GetRetryOf() != "" || r.GetSettings().GetRepackFrom() != "" {
		return k, false, nil
	}
	if err := checkKey(in); err != nil {
		return k, false, err
	}
	return store.BuildKey{Key: in.GetKey(), NativeKey: in.GetNativeKey(), Simulator: in.GetSimulator()}, true, nil
}

func checkKey(k *schedulerv1.ReuseKey) error {
	if k.GetKey() != "" && !isDigest(k.GetKey()) || k.GetNativeKey() != "" && !isDigest(k.GetNativeKey()) {
		return fmt.Errorf("%w: a reuse key is a SHA-256 in hexadecimal", build.ErrInvalid)
	}
	return nil
}

// MadeOf returns what a worker says that it made a build with. What is too long counts as not said.
func MadeOf(m *schedulerv1.Made) store.Made {
	short := func(s string) string {
		if len(s) > maxText {
			return ""
		}
		return s
	}
	return store.Made{
		Machine: short(m.GetMachine()), Environment: short(m.GetEnvironment()), Variables: short(m.GetVariables()), Fingerprint: short(m.GetFingerprint()),
	}
}

// FindReuse returns a completed build that may stand for the one asked for, or why there is none. With record_build_id it records the reuse
// in the same transaction, unless another build is the answer by now.
func (r *Reuses) FindReuse(ctx context.Context, req *schedulerv1.FindReuseRequest) (*schedulerv1.FindReuseResponse, error) {
	q, err := r.newQuery(req)
	if err != nil {
		return nil, err
	}
	if q.requires, err = r.required(ctx, q, req); err != nil {
		return nil, err
	}
	var resp *schedulerv1.FindReuseResponse
	err = r.machine.Store.Update(ctx, func(tx *store.Tx) error {
		resp = &schedulerv1.FindReuseResponse{}
		found, reason, err := q.find(ctx, tx)
		if err != nil {
			return err
		}
		if resp.Reason = reason; found == nil {
			return nil
		}
		resp.Build = viewKeyed(*found)
		if req.GetRecordBuildId() != found.ID {
			return nil
		}
		return r.record(ctx, tx, *found, req.GetReuse(), resp.Build)
	})
	if err != nil {
		return nil, err
	}
	if req.GetRecordBuildId() != "" && resp.GetBuild() != nil {
		r.machine.Flush(ctx, "reuse", resp.GetBuild().GetId())
	}
	return resp, nil
}

// required returns what a build like that would require now.
func (r *Reuses) required(ctx context.Context, q query, req *schedulerv1.FindReuseRequest) (build.Requirements, error) {
	own, err := build.ParseRequirements(req.GetRequires())
	if err != nil {
		return "", err
	}
	prefers, err := build.ParseRequirements(req.GetPrefers())
	if err != nil {
		return "", err
	}
	required, _, err := r.require(ctx, store.Build{Pool: q.pool, Platform: q.Platform, Settings: build.Settings{Requires: own}}, prefers)
	return required, err
}

func viewKeyed(k store.KeyedBuild) *schedulerv1.Build {
	v := view.Build(k.Build)
	v.WorkerName = k.WorkerName
	AddKey(v, k.BuildKey)
	return v
}

// AddKey adds to a build how often it was reused.
func AddKey(v *schedulerv1.Build, k store.BuildKey) {
	v.Reuses, v.LastReusedAtMs = k.Reuses, store.Millis(k.LastReusedAt)
	if k.Fingerprint != "" {
		v.Fingerprint = k.Fingerprint
	}
}

// View returns reuses as others see them.
func View(all []store.Reuse) (views []*schedulerv1.Reuse) {
	for _, u := range all {
		views = append(views, &schedulerv1.Reuse{Id: u.ID, AtMs: store.Millis(u.At), Commit: u.Commit, Branch: u.Branch, Username: u.Username})
	}
	return views
}

func (r *Reuses) record(ctx context.Context, tx *store.Tx, k store.KeyedBuild, by *schedulerv1.Reuse, v *schedulerv1.Build) error {
	u := store.Reuse{
		ID: by.GetId(), BuildID: k.ID, At: r.machine.Now(), Commit: by.GetCommit(), Branch: by.GetBranch(), Username: by.GetUsername(),
	}
	added, err := store.ReusesIn(tx).Add(ctx, u)
	if err != nil || !added {
		return err
	}
	v.Reuses, v.LastReusedAtMs = v.GetReuses()+1, store.Millis(u.At)
	c := transition.NewChange(k.Build, u.At)
	err = c.Emit(ctx, bus.Reused, &eventsv1.BuildReused{
		BuildId: k.ID, Project: k.Project, Platform: string(k.Platform), ReuseId: u.ID, Commit: u.Commit, Branch: u.Branch,
		Username: u.Username, AtMs: store.Millis(u.At),
	})
	if err != nil {
		return err
	}
	return c.Send(ctx, tx)
}

// query is a request for reuse that was checked.
type query struct {
	*Reuses
	store.KeyFilter
	pool, environment, variables, number, branch string
	requires                                     build.Requirements
}

func (r *Reuses) newQuery(req *schedulerv1.FindReuseRequest) (q query, err error) {
	q = query{
		Reuses: r, pool: req.GetPool(), environment: req.GetKey().GetEnvironment(), variables: req.GetVariables(),
		number: req.GetBuildNumber(), branch: req.GetReuse().GetBranch(),
		KeyFilter: store.KeyFilter{
			Project: req.GetProject(), Key: req.GetKey().GetKey(), NativeKey: req.GetKey().GetNativeKey(), Fingerprint: req.GetFingerprint(),
			Simulator: req.GetKey().GetSimulator(),
		},
	}
	if q.pool == "" {
		q.pool = build.DefaultPool
	}
	if q.Platform, err = build.ParsePlatform(req.GetPlatform()); err != nil {
		return q, err
	}
	if err := checkKey(req.GetKey()); err != nil {
		return q, err
	}
	by := req.GetReuse()
	switch {
	case q.Project == "" || !build.ValidName(q.Project):
		return q, fmt.Errorf("%w: a reuse needs the name of a project (got %.120q)", build.ErrInvalid, q.Project)
	case !build.ValidID(by.GetId()):
		return q, fmt.Errorf("%w: id %.80q of the reuse", build.ErrInvalid, by.GetId())
	case q.Key == "" && q.Fingerprint == "":
		return q, fmt.Errorf("%w: a reuse needs a key or a fingerprint", build.ErrInvalid)
	case len(q.Fingerprint) > maxText:
		return q, fmt.Errorf("%w: fingerprint %.40q… (at most %d characters)", build.ErrInvalid, q.Fingerprint, maxText)
	case q.number != "" && q.number != build.LastNumber:
		return q, fmt.Errorf("%w: a build that takes a new build number is not reused", build.ErrInvalid)
	}
	return q, errors.Join(build.Origin{Commit: by.GetCommit(), Branch: by.GetBranch()}.Check(), build.Settings{Username: by.GetUsername()}.Check())
}

// maxCandidates bounds the builds with one key that are looked at: those of branches that are not trusted may hide no more.
const maxCandidates = 200

// find returns the newest build that may be reused, with its row locked, or why there is none.
func (q query) find(ctx context.Context, tx *store.Tx) (found *store.KeyedBuild, reason string, err error) {
	if q.number != "" {
		c, err := store.BuildNumbersIn(tx).Get(ctx, q.Project, q.Platform)
		if err != nil {
			return nil, "", err
		}
		q.number = c.Last
	}
	candidates, err := store.ReusesIn(tx).Find(ctx, q.KeyFilter, maxCandidates)
	if err != nil {
		return nil, "", err
	}
	var best refusal
	for _, k := range candidates {
		why, err := q.judge(ctx, tx, k)
		if err != nil {
			return nil, "", err
		}
		if why.text == "" {
			locked, err := tx.Build(ctx, k.ID)
			if errors.Is(err, build.ErrNotFound) { // it has just expired
				continue
			}
			return &k, "", errors.Join(err, stillCompleted(locked))
		}
		if why.rank > best.rank {
			best = why
		}
	}
	switch {
	case best.text != "":
		return nil, best.text, nil
	case q.Key == "":
		return nil, "no development client was built with this fingerprint", nil
	}
	return nil, "no earlier build has the same sources, profile and environment", nil
}

// stillCompleted says that a final state stays.
func stillCompleted(b store.Build) error {
	if b.ID != "" && b.State != build.Completed {
		return fmt.Errorf("build %s: %w", b.ID, store.ErrConflict)
	}
	return nil
}

// refusal says why a build may not be reused. Of several the one with the most in common is shown: that with the highest rank.
type refusal struct {
	rank int
	text string
}

func refuse(rank int, format string, args ...any) refusal {
	return refusal{rank, fmt.Sprintf(format, args...)}
}

// judge returns why a build may not be reused; the zero refusal if it may.
func (q query) judge(ctx context.Context, tx *store.Tx, k store.KeyedBuild) (refusal, error) {
	switch {
	case k.State == build.Failed || k.State == build.Cancelled:
		return refuse(1, "build %s of the same sources is %s", k.ID, k.State), nil
	case k.State != build.Completed:
		return refuse(2, "build %s of the same sources has not ended: it is %s", k.ID, k.State), nil
	case !q.mayRead(k.Origin.Branch):
		return refuse(3, "build %s is of branch %q, which is not trusted", k.ID, k.Origin.Branch), nil
	case k.Result.GetObjectId() == "":
		return refuse(3, "build %s has no result", k.ID), nil
	case q.Key == "": // the fingerprint has all that decides a development client
		return refusal{}, nil
	case k.Pool != q.pool:
		return refuse(4, "build %s was built in pool %s", k.ID, k.Pool), nil
	case k.Settings.Requires != q.requires:
		return refuse(4, "build %s required other labels of its worker", k.ID), nil
	case k.Settings.BuildNumber != q.number:
		return refuse(5, "build %s has another build number", k.ID), nil
	case k.Machine == "" || k.Variables == "":
		return refuse(6, "the worker that made build %s did not say what it was made with", k.ID), nil
	case k.Environment != q.environment || k.Variables != q.variables:
		return refuse(7, "the farm's variables of environment %s are not those of build %s", q.environment, k.ID), nil
	}
	machine, err := store.ReusesIn(tx).Machine(ctx, k.WorkerID)
	switch {
	case errors.Is(err, build.ErrWorkerUnknown):
		return refuse(8, "the worker that made build %s has left the farm", k.ID), nil
	case err != nil:
		return refusal{}, err
	case machine != k.Machine:
		return refuse(9, "worker %s has other tools or variables since it made build %s", k.WorkerName, k.ID), nil
	}
	return refusal{}, nil
}

// mayRead reports whether a build of the branch that asks may be replaced by one of another.
func (q query) mayRead(branch string) bool { return branch == q.branch || IsTrusted(q.trusted, branch) }

// IsTrusted reports whether a branch matches one of the patterns.
func IsTrusted(patterns []string, branch string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, branch)
		return err == nil && ok
	})
}

// Finish records what a completed build was made with.
func Finish(ctx context.Context, tx *store.Tx, b store.Build, m *schedulerv1.Made) error {
	if m == nil { // a worker of the version before
		return nil
	}
	return store.ReusesIn(tx).Finish(ctx, b, MadeOf(m))
}
