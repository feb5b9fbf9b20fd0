package worker_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/clients/worker"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// sampled waits for a sample of a build that is as wanted.
func (f *farm) sampled(what string, ok func(*eventsv1.Telemetry) bool) {
	f.t.Helper()
	s, err := f.js.Stream(f.t.Context(), bus.TelemetryStream)
	must(f.t, err)
	seq := uint64(1)
	f.eventually(what, func() bool {
		m, err := s.GetMsg(f.t.Context(), seq)
		if err != nil {
			return false // not there yet
		}
		seq++
		t := &eventsv1.Telemetry{}
		must(f.t, proto.Unmarshal(m.Data, t))
		return ok(t)
	})
}

// TestABuildIsMeasured: a command that counts as fast as it can is seen to be busy, in its stage, while it runs.
func TestABuildIsMeasured(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	a := f.start(f.shell(t.TempDir()), func(c *worker.Config) { c.TelemetryEvery = 100 * time.Millisecond })
	id := f.submit(script(t, "while :; do :; done"))
	f.inStage(id, "install")
	holder := f.await(id, "held", func(b *farmBuild) bool { return b.holder != "" }).holder
	f.sampled("a busy sample", func(s *eventsv1.Telemetry) bool {
		if s.GetBuildId() != id || s.GetWorkerId() != holder || s.GetAttempt() != 1 || s.GetMemoryUnreliable() {
			t.Errorf("sample = %v", s)
		}
		return s.GetStage() == "install" && s.GetTtlSeconds() == 8 && s.GetCpuPercent() > 5 && s.GetCpuPercent() < 6400 && s.GetProcesses() >= 1 &&
			s.GetMemoryMb() > 0.1 && s.GetDiskPercent() > 0 && s.GetDiskPercent() <= 100
	})
	a.Release()
}

// timed is a project whose profile asks for timeouts.
func timed(t *testing.T, timeouts, run string) []byte {
	t.Helper()
	return project(t, "freeagent.json", `{"profiles": {"production": {"timeouts": `+timeouts+`, "result": "out.bin",
		"stages": [{"name": "install", "run": "`+run+`"}]}}}`)
}

func TestTheProfilesTimeouts(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.shell(t.TempDir()), nil)
	id := f.submit(timed(t, `{"build": "2s", "silence": {"install": "6s"}}`, "sleep 60"))
	f.inStage(id, "install")
	b := f.await(id, "held", func(b *farmBuild) bool { return b.holder != "" && b.asked.GetTimeoutSeconds() > 0 })
	if b.asked.GetTimeoutSeconds() != 2 || b.asked.GetTtlSeconds() != 6 {
		t.Errorf("told %v, want a timeout of 2 s, and a TTL of 6 s", b.asked)
	}
	s, err := f.js.Stream(t.Context(), bus.HeartbeatStream)
	must(t, err)
	f.eventually("a beat with the profile's TTL", func() bool {
		m, err := s.GetLastMsgForSubject(t.Context(), bus.KeySubject(bus.LeaseKey(b.holder, id, 1)))
		return err == nil && m.Header.Get("Nats-TTL") == "6s"
	})
	if v := f.finished(id); v.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_FAILED || v.GetError() != "timed out after 2s" {
		t.Errorf("finish = %v", v)
	}
}

// TestTheFarmsLimitsHold: what a profile asks for beyond them is cut, and the log says so.
func TestTheFarmsLimitsHold(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.shell(t.TempDir()), nil)
	id := f.submit(timed(t, `{"build": "100h", "silence": {"install": "100h"}}`, "echo x > out.bin"))
	if v := f.finished(id); v.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_COMPLETED {
		t.Fatalf("finish = %v", v)
	}
	b := f.await(id, "told", func(b *farmBuild) bool { return b.asked != nil })
	if b.asked.GetTimeoutSeconds() != 3600 {
		t.Errorf("told %v, want the limit of an hour", b.asked)
	}
	log := f.logOf(id)
	for _, want := range []string{"build timeout 100h is above this farm's limit; using 1h", "heartbeat timeout of stage install 100h is above this farm's limit; using 30s"} {
		if !strings.Contains(log, want) {
			t.Errorf("log = %q, want %q in it", log, want)
		}
	}
}
