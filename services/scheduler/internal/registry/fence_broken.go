//go:build chaos_broken_fence

package registry

import schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"

// fencedOff keeps it from the worker. It exists to be caught by the chaos checker (make chaos-selftest) and is in no other build.
func fencedOff([]*schedulerv1.Lease) []*schedulerv1.Lease { return nil }
