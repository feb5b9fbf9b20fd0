package artifact_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// TestArchiveTakesOnlyTheHoldersLines: a worker that held no attempt, or another one, wrote into the log in time and afterwards.
// Nothing of it is archived, and all of it leaves the stream.
func TestArchiveTakesOnlyTheHoldersLines(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: quick})
	want := f.sayWhole("b1")
	f.say("b1", "w3", 1, 1, "by nobody")
	f.say("b1", "w1", 2, 1, "by the first in the second's attempt")
	f.say("b1", "w3", 2, 0, "not numbered")
	f.ends("b1", 0)
	f.eventually("the log left the stream", func() bool { return f.log0("b1").GetObject() != nil && f.inStream("b1") == 0 })
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	before := f.log0("b1")
	f.say("b1", "w3", 2, 1, "late, by nobody")
	f.eventually("the late line left the stream", func() bool { return f.inStream("b1") == 0 })
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if after := f.log0("b1"); after.GetObject().GetObjectId() != before.GetObject().GetObjectId() {
		t.Error("lines of another worker's made a new archive")
	}
}

// TestALogOfOthersLinesOnlyIsNone: the build was cancelled before anybody held it.
func TestALogOfOthersLinesOnlyIsNone(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: quick})
	f.scheduler.claim("b1", "w1", 1)
	f.say("b1", "w2", 1, 1, "not mine")
	f.ends("b1", 0)
	f.eventually("the line left the stream", func() bool { return f.inStream("b1") == 0 })
	if l := f.log0("b1"); l.GetObject() != nil || l.GetLines() != 0 {
		t.Errorf("log = %v, want none", l)
	}
	f.eventually("no object is left", func() bool { return f.rows() == 0 })
}

// TestArchiveWaitsForTheScheduler: who held an attempt is not guessed.
func TestArchiveWaitsForTheScheduler(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: quick, prepare: func(s *artifact.Service) { s.SetLogs(time.Minute, 10*time.Millisecond, nil) }})
	want := f.sayWhole("b1")
	f.scheduler.fail(build.ErrUnavailable)
	f.ends("b1", 0)
	f.eventually("it was tried", func() bool { return strings.Count(f.log.String(), "archive log failed") > 1 })
	if f.log0("b1").GetObject() != nil || f.inStream("b1") == 0 {
		t.Error("the log was archived although nobody knew whose lines it has")
	}
	f.scheduler.fail(nil)
	f.eventually("the log left the stream", func() bool { return f.inStream("b1") == 0 && f.log0("b1").GetObject() != nil })
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
