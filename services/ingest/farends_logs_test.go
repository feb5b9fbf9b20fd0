package ingest_test

import (
	"slices"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// claim says who holds an attempt, if nobody does.
func (s *scheduler) claim(id, worker string, attempt int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.attempts[id], func(a *schedulerv1.Attempt) bool { return a.GetNumber() == attempt }) {
		return
	}
	s.attempts[id] = append(s.attempts[id], &schedulerv1.Attempt{Number: attempt, WorkerId: worker, Outcome: "running"})
}
