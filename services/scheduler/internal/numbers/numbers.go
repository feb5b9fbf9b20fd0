// Package numbers counts the build numbers of projects: the versionCode (Android) or buildNumber
// (iOS) that a project used last, for each platform.
//
// A submit that asks for the next number takes it in the transaction that inserts its build. So two
// submits never get the same one, a repeat of a submit gets that of its build, and a refused submit
// takes none. Retries and imported builds leave counters as they are.
package numbers

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// Numbers answers requests about counters. It is safe for concurrent use.
type Numbers struct {
	store *store.Store
	now   func() time.Time
	log   *slog.Logger
}

// New returns the counters in a store.
func New(s *store.Store, now func() time.Time, log *slog.Logger) *Numbers {
	return &Numbers{store: s, now: now, log: log}
}

// Take returns the number of a build that asks for it with build.NextNumber or build.LastNumber; any other number it returns as it is.
// It returns build.ErrInvalid if the project has no counter for the platform, or the counter is at its end.
func Take(ctx context.Context, tx *store.Tx, b store.Build) (string, error) {
	asked := b.Settings.BuildNumber
	if !build.CountedNumber(asked) {
		return asked, nil
	}
	counters := store.BuildNumbersIn(tx)
	c, err := counters.Get(ctx, b.Project, b.Platform)
	if err != nil {
		return "", err
	}
	if c.Last == "" {
		return "", fmt.Errorf("%w: project %q has no build number for %s yet. Set the last one used with \"freeagent version set\"",
			build.ErrInvalid, b.Project, b.Platform)
	}
	if asked == build.LastNumber {
		return c.Last, nil
	}
	if c.Last, err = build.NumberAfter(b.Platform, c.Last); err != nil {
		return "", err
	}
	c.ChangedAt = b.SubmittedAt
	return c.Last, counters.Put(ctx, c)
}

// GetBuildNumbers returns the counters of a project.
func (n *Numbers) GetBuildNumbers(ctx context.Context, r *schedulerv1.GetBuildNumbersRequest) (*schedulerv1.GetBuildNumbersResponse, error) {
	if !named(r.GetProject()) {
		return nil, fmt.Errorf("%w: project %.120q", build.ErrInvalid, r.GetProject())
	}
	all, err := store.ReadBuildNumbers(ctx, n.store, r.GetProject())
	if err != nil {
		return nil, err
	}
	resp := new(schedulerv1.GetBuildNumbersResponse)
	for _, c := range all {
		resp.Numbers = append(resp.Numbers, view(c))
	}
	return resp, nil
}

// SetBuildNumber sets the last number used. It returns build.ErrInvalid for a number that the platform does not have, and for one that
// is below the present one without force.
func (n *Numbers) SetBuildNumber(ctx context.Context, r *schedulerv1.SetBuildNumberRequest) (*schedulerv1.SetBuildNumberResponse, error) {
	platform, err := build.ParsePlatform(r.GetPlatform())
	if err != nil {
		return nil, err
	}
	if !named(r.GetProject()) {
		return nil, fmt.Errorf("%w: project %.120q", build.ErrInvalid, r.GetProject())
	}
	if err := build.CheckNumber(platform, r.GetLast()); err != nil {
		return nil, err
	}
	c := store.BuildNumber{Project: r.GetProject(), Platform: platform, Last: r.GetLast(), ChangedAt: n.now()}
	var was string
	err = n.store.Update(ctx, func(tx *store.Tx) error {
		counters := store.BuildNumbersIn(tx)
		old, err := counters.Get(ctx, c.Project, platform)
		if err != nil {
			return err
		}
		if was = old.Last; was != "" && !r.GetForce() && build.NumberBelow(c.Last, was) {
			return fmt.Errorf("%w: the last build number of %q for %s is %s, and stores refuse numbers below one that they have",
				build.ErrInvalid, c.Project, platform, was)
		}
		return counters.Put(ctx, c)
	})
	if err != nil {
		return nil, err
	}
	n.log.InfoContext(ctx, "build number set", "project", c.Project, "platform", platform, "last", c.Last, "was", was)
	return &schedulerv1.SetBuildNumberResponse{Number: view(c)}, nil
}

func named(project string) bool { return project != "" && build.ValidName(project) }

func view(c store.BuildNumber) *schedulerv1.BuildNumber {
	return &schedulerv1.BuildNumber{Project: c.Project, Platform: string(c.Platform), Last: c.Last, ChangedAtMs: store.Millis(c.ChangedAt)}
}
