package bus_test

import (
	"math"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// FuzzSubjects: for every valid id the parsers invert the builders, a subscription matches what its publisher publishes,
// and parsers refuse or round-trip any other text.
func FuzzSubjects(f *testing.F) {
	f.Add("w1", "b1", "default", int32(1), "fa.builds.b1.queued")
	f.Add("_", "-", "A_z-9", int32(math.MaxInt32), "fa.queue.default.ios.b.1")
	f.Add("ios", "builds", "fa", int32(-1), "build.w.b.7")
	f.Add("x", "y", "z", int32(0), "fa.logs.w.b.1")
	f.Fuzz(func(t *testing.T, worker, id, pool string, attempt int32, text string) {
		parseAnything(t, text)
		if !build.ValidID(worker) || !build.ValidID(id) || !build.ValidID(pool) {
			return
		}
		roundTrip(t, worker, id, pool, attempt)
	})
}

func roundTrip(t *testing.T, worker, id, pool string, attempt int32) {
	t.Helper()
	if b, e, err := bus.ParseEvent(bus.BuildSubject(id, bus.Stalled)); err != nil || b != id || e != bus.Stalled {
		t.Errorf("ParseEvent(build) = %q, %q, %v", b, e, err)
	}
	if w, e, err := bus.ParseEvent(bus.WorkerSubject(worker, bus.Offline)); err != nil || w != worker || e != bus.Offline {
		t.Errorf("ParseEvent(worker) = %q, %q, %v", w, e, err)
	}
	q := bus.QueueSubject(pool, "ios", id, attempt)
	if p, pl, b, a, err := bus.ParseQueue(q); err != nil || p != pool || pl != "ios" || b != id || a != attempt {
		t.Errorf("ParseQueue(%q) = %q, %q, %q, %d, %v", q, p, pl, b, a, err)
	}
	l := bus.LogSubject(worker, id, attempt)
	if w, b, a, err := bus.ParseLog(l); err != nil || w != worker || b != id || a != attempt {
		t.Errorf("ParseLog(%q) = %q, %q, %d, %v", l, w, b, a, err)
	}
	k := bus.LeaseKey(worker, id, attempt)
	if w, b, a, err := bus.ParseKey(k); err != nil || w != worker || b != id || a != attempt {
		t.Errorf("ParseKey(%q) = %q, %q, %d, %v", k, w, b, a, err)
	}
	if w, b, _, err := bus.ParseKey(bus.WorkerKey(worker)); err != nil || w != worker || b != "" {
		t.Errorf("ParseKey(worker) = %q, %q, %v", w, b, err)
	}
	for subscription, subject := range map[string]string{
		bus.BuildSubjects(bus.Queued):              bus.BuildSubject(id, bus.Queued),
		bus.BuildSubjectsOf(id):                    bus.BuildSubject(id, bus.Failed),
		bus.WorkerSubjects(bus.Online):             bus.WorkerSubject(worker, bus.Online),
		bus.QueueSubjects(pool, "ios"):             q,
		bus.LogSubjectsOf(id):                      l,
		bus.LogSubjectsBy(worker):                  l,
		bus.WorkerRequestSubject("s", "v", "*"):    bus.WorkerRequestSubject("s", "v", worker),
		bus.KeySubject("build." + worker + ".*.*"): bus.KeySubject(k),
		bus.InboxPrefix(worker) + ".>":             bus.InboxPrefix(worker) + ".a.1",
	} {
		if !matches(subscription, subject) {
			t.Errorf("%s does not match %s", subscription, subject)
		}
	}
}

// parseAnything: what a parser accepts is what its builder makes.
func parseAnything(t *testing.T, text string) {
	t.Helper()
	if p, pl, b, a, err := bus.ParseQueue(text); err == nil && canonical(text) && bus.QueueSubject(p, pl, b, a) != text {
		t.Errorf("ParseQueue takes %q, which no builder makes", text)
	}
	if w, b, a, err := bus.ParseLog(text); err == nil && canonical(text) && bus.LogSubject(w, b, a) != text {
		t.Errorf("ParseLog takes %q, which no builder makes", text)
	}
	if w, b, a, err := bus.ParseKey(text); err == nil && b != "" && canonical(text) && bus.LeaseKey(w, b, a) != text {
		t.Errorf("ParseKey takes %q, which no builder makes", text)
	}
	if id, e, err := bus.ParseEvent(text); err == nil && bus.BuildSubject(id, e) != text && bus.WorkerSubject(id, e) != text {
		t.Errorf("ParseEvent takes %q, which no builder makes", text)
	}
}

// canonical says whether the attempt is written as we write it; "+1" and "01" are read too.
func canonical(text string) bool {
	last := text[strings.LastIndexByte(text, '.')+1:]
	return !strings.HasPrefix(last, "+") && !strings.HasPrefix(last, "0") && !strings.HasPrefix(last, "-0")
}

// matches is NATS's rule: * is one token, > the rest.
func matches(subscription, subject string) bool {
	want, got := strings.Split(subscription, "."), strings.Split(subject, ".")
	for i, token := range want {
		switch {
		case token == ">":
			return len(got) > i
		case i >= len(got) || token != "*" && token != got[i]:
			return false
		}
	}
	return len(want) == len(got)
}

func TestParsersRefuse(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", ".", "fa", "fa.builds.b1", "fa.builds.b1.queued.x", "xx.builds.b1.queued", "fa.queue.p.ios.b", "fa.queue.p.ios.b.x",
		"fa.queue.p.ios.b.99999999999", "fa.logs.w.b", "fa.logs.w.b.", "build.w.b", "build.w.b.x", "worker", "worker.a.b", "other.a",
	} {
		_, _, e1 := bus.ParseEvent(s)
		_, _, _, _, e2 := bus.ParseQueue(s)
		_, _, _, e3 := bus.ParseLog(s)
		_, _, _, e4 := bus.ParseKey(s)
		if e1 == nil || e2 == nil || e3 == nil || e4 == nil {
			t.Errorf("%q is taken: %v %v %v %v", s, e1, e2, e3, e4)
		}
	}
}
