//go:build !chaos_broken_fence

package registry

import schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"

// fencedOff are the leases that a worker is told it has lost: all that it has lost.
func fencedOff(lost []*schedulerv1.Lease) []*schedulerv1.Lease { return lost }
