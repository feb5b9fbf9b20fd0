package artifact_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

func TestLogIsArchivedAndLeavesTheStream(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: quick})
	want := f.sayWhole("b1")
	f.say("b2", "w1", 1, 1, "of a build that goes on")
	f.ends("b1", 0)
	f.eventually("the log left the stream", func() bool { return f.log0("b1").GetObject() != nil && f.inStream("b1") == 0 })
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	l := f.log0("b1")
	if l.GetLines() != int64(len(want)) || l.GetKeptUntilMs() <= time.Now().UnixMilli() || l.GetArchivedAtMs() == 0 {
		t.Errorf("log = %v", l)
	}
	if f.inStream("b2") != 1 || f.log0("b2").GetObject() != nil {
		t.Error("the log of a build that goes on was touched")
	}
	// What comes late joins the archive, still one object; the old one is removed by and by.
	old := l.GetObject().GetObjectId()
	f.say("b1", "w2", 2, 2, "b2", "b3") // a repeat long after
	f.say("b1", bus.System, 2, 0, "Retried as build b9")
	want = append(want, "Retried as build b9")
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("late line: -want +got\n%s", diff)
	}
	f.eventually("the late line left the stream", func() bool { return f.log0("b1").GetObject().GetObjectId() != old && f.inStream("b1") == 0 })
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("late line archived: -want +got\n%s", diff)
	}
}

func TestLogOfABuildWhoseEndWasNotHeard(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: quick})
	want := f.sayWhole("b1")
	f.scheduler.set(&schedulerv1.Build{Id: "b1", State: "failed", FinishedAtMs: time.Now().UnixMilli()}, "")
	f.scheduler.set(&schedulerv1.Build{Id: "b2", State: "building"}, "")
	f.say("b2", "w1", 1, 1, "goes on")
	f.say("unknown", "w1", 1, 1, "of nobody")
	f.eventually("the log was archived", func() bool { return f.inStream("b1") == 0 })
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if f.inStream("b2") != 1 || f.inStream("unknown") != 1 {
		t.Error("a log was touched whose build has not ended")
	}
}

func TestOldLogIsRemoved(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: func(c *artifact.Config) { quick(c); c.LogRetention = time.Hour; c.StagedTTL = 2 * c.TicketTTL }})
	f.sayWhole("young")
	f.sayWhole("old")
	f.ends("young", time.Minute)
	f.ends("old", 2*time.Hour)
	f.eventually("the old one is removed", func() bool { return f.log0("old").GetRemovedAtMs() > 0 })
	if l := f.log0("old"); l.GetObject() != nil || l.GetLines() == 0 || f.inStream("old") != 0 {
		t.Errorf("log = %v, %d in the stream", l, f.inStream("old"))
	}
	f.eventually("the young one is archived", func() bool { return f.log0("young").GetObject() != nil })
	f.eventually("one object is left", func() bool { return f.rows() == 1 })
	f.stat(f.log0("young").GetObject().GetObjectId())
}

// sayMuch adds what does not fit into a row of the table even when it is packed.
func (f *farm) sayMuch(id string) (texts []string) {
	f.t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for chunk := range 20 {
		var lines []string
		for range 100 {
			lines = append(lines, fmt.Sprintf("%x%x%x%x", random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64()))
		}
		f.say(id, "w1", 1, int64(chunk*100+1), lines...)
		texts = append(texts, lines...)
	}
	return texts
}

// TestLargeLogLiesInTheObjectStore: also when more comes late.
func TestLargeLogLiesInTheObjectStore(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: quick})
	want := f.sayMuch("b1")
	f.ends("b1", 0)
	f.eventually("the log left the stream", func() bool { return f.log0("b1").GetObject() != nil && f.inStream("b1") == 0 })
	if keys := f.keys(); len(keys) != 1 || !strings.HasPrefix(keys[0], "shop/b1/0/log-") {
		t.Errorf("keys = %q", keys)
	}
	old := f.log0("b1").GetObject().GetObjectId()
	f.say("b1", bus.System, 1, 0, "late")
	f.eventually("the late line left the stream", func() bool { return f.log0("b1").GetObject().GetObjectId() != old && f.inStream("b1") == 0 })
	if diff := cmp.Diff(append(want, "late"), f.whole("b1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	f.expire() // the archive before
	f.eventually("one object is left", func() bool { return f.rows() == 1 && len(f.keys()) == 1 })
}
