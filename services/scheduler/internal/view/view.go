// Package view turns rows of the scheduler's tables into the messages that other services see.
package view

import (
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// MaxPage bounds a list, so that its answer fits into one message of the bus (1 MiB).
const MaxPage = 500

// Build returns a build as others see it.
func Build(b store.Build) *schedulerv1.Build {
	v := &schedulerv1.Build{
		Id: b.ID, Project: b.Project, Platform: string(b.Platform), Pool: b.Pool, State: string(b.State), Attempt: b.Attempt,
		WorkerId: b.WorkerID, Stage: b.Stage, Priority: b.Priority, Error: b.Error, Profile: b.Profile,
		Source: b.Source, Certs: b.Certs, Result: b.Result, Artifacts: b.Artifacts, RetryOf: b.RetryOf,
		SubmittedAtMs: store.Millis(b.SubmittedAt), QueuedAtMs: store.Millis(b.QueuedAt), AssignedAtMs: store.Millis(b.AssignedAt),
		StartedAtMs: store.Millis(b.StartedAt), FinishedAtMs: store.Millis(b.FinishedAt), NotBeforeMs: store.Millis(b.NotBefore), Seq: b.Seq, Fingerprint: b.NativeFingerprint,
	}
	if o := b.Origin; o != (build.Origin{}) {
		v.Origin = &schedulerv1.Origin{Repository: o.Repository, Commit: o.Commit, Branch: o.Branch}
	}
	if s := b.Settings; s != (build.Settings{}) {
		v.Settings = &schedulerv1.BuildSettings{
			AppPath: s.AppPath, Modified: s.Modified, Username: s.Username, BuildNumber: s.BuildNumber, Requires: string(s.Requires), RepackFrom: s.RepackFrom,
		}
	}
	return v
}

// Attempts returns the attempts of a build as others see them.
func Attempts(attempts []store.Attempt) (views []*schedulerv1.Attempt) {
	for _, a := range attempts {
		views = append(views, &schedulerv1.Attempt{
			Number: a.Number, WorkerId: a.WorkerID, WorkerName: a.WorkerName, ClaimedAtMs: store.Millis(a.ClaimedAt),
			StartedAtMs: store.Millis(a.StartedAt), EndedAtMs: store.Millis(a.EndedAt), Outcome: string(a.Outcome), Error: a.Error,
		})
	}
	return views
}

// Worker returns a worker as others see it.
func Worker(w store.Capacity) *schedulerv1.Worker {
	v := &schedulerv1.Worker{
		Id: w.ID, Name: w.Name, Pool: w.Pool, Slots: w.Slots, Held: w.Held, Online: w.Online, Draining: w.Draining, Polls: w.Polls,
		Version: w.Version, Labels: w.Labels, RegisteredAtMs: store.Millis(w.RegisteredAt), SeenAtMs: store.Millis(w.SeenAt),
	}
	for _, p := range w.Platforms {
		v.Platforms = append(v.Platforms, string(p))
	}
	return v
}

// Limit returns how many entries a page has: what the request asks for, at most MaxPage; otherwise if it asks for none.
func Limit(asked, otherwise int32) int32 {
	if asked <= 0 {
		return otherwise
	}
	return min(asked, MaxPage)
}
