package chaos_test

import (
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/chaos"
	"github.com/expo-free-agent/freeagent/shared/api"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) string {
	return noon.Add(time.Duration(seconds) * time.Second).Format(time.RFC3339Nano)
}

func event(name string, attempt, seconds int) chaos.Event {
	return chaos.Event{Name: name, Attempt: attempt, At: noon.Add(time.Duration(seconds) * time.Second)}
}

func lines(attempt int, texts ...string) (log []api.LogLine) {
	for _, t := range texts {
		log = append(log, api.LogLine{Attempt: attempt, Text: t})
	}
	return log
}

func numbered(log []api.LogLine) []api.LogLine {
	for i := range log {
		log[i].Line = int64(i + 1)
	}
	return log
}

// without is a log that lost a line and numbers the rest.
func without(log []api.LogLine, i int) []api.LogLine {
	return numbered(append(log[:i:i], log[i+1:]...))
}

// good is a build that was lost by its first worker and completed by the second.
func good() chaos.Build {
	return chaos.Build{
		Build: api.Build{ID: "b1", Status: "completed", Attempts: []api.Attempt{
			{Number: 1, Outcome: "lost", ClaimedAt: at(1), EndedAt: at(5)},
			{Number: 2, Outcome: "completed", ClaimedAt: at(5), EndedAt: at(9)},
		}},
		Events: []chaos.Event{
			event("assigned", 1, 1), event("retried", 1, 5), event("assigned", 2, 5), event("completed", 2, 9),
		},
		Made: "b1.2",
		Log: numbered(append(lines(1, "Build submitted", "Assigned to worker a", "fake install: step 1 of 2", "Attempt 1 ended early: silence"),
			lines(2, "Assigned to worker b", "fake install: step 1 of 2", "fake install: step 2 of 2", "fake export: step 1 of 2",
				"fake export: step 2 of 2", "Build completed successfully")...)),
	}
}

// TestCheckFindsWhatIsBroken breaks one promise at a time.
func TestCheckFindsWhatIsBroken(t *testing.T) {
	t.Parallel()
	yes := []chaos.Call{{Kind: "submit", Build: "b1", Acknowledged: true, End: noon}}
	for name, tt := range map[string]struct {
		calls []chaos.Call
		spoil func(*chaos.Build)
		want  string
	}{
		"nothing":               {yes, func(*chaos.Build) {}, ""},
		"not acknowledged":      {[]chaos.Call{{Kind: "submit", Error: "cut"}}, func(*chaos.Build) {}, ""},
		"gone":                  {[]chaos.Call{{Kind: "submit", Build: "b2", Acknowledged: true}}, func(*chaos.Build) {}, "is gone"},
		"never ends":            {yes, func(b *chaos.Build) { b.Status = "building" }, "long after"},
		"no final event":        {yes, func(b *chaos.Build) { b.Events = b.Events[:3] }, "final events are []"},
		"two final events":      {yes, func(b *chaos.Build) { b.Events = append(b.Events, event("failed", 2, 9)) }, "final events"},
		"cancel forgotten":      {[]chaos.Call{{Kind: "cancel", Build: "b1", Acknowledged: true}}, func(*chaos.Build) {}, "cancel was acknowledged"},
		"overlap":               {yes, func(b *chaos.Build) { b.Attempts[1].ClaimedAt = at(4) }, "before the one before it ended"},
		"overlap in the log":    {yes, func(b *chaos.Build) { b.Events[2] = event("assigned", 2, 4) }, "gives attempt 2 at"},
		"given twice":           {yes, func(b *chaos.Build) { b.Events = append(b.Events, event("assigned", 2, 6)) }, "to a worker twice"},
		"ended twice":           {yes, func(b *chaos.Build) { b.Events = append(b.Events, event("retried", 2, 8)) }, "both completed and retried"},
		"a zombie's finish":     {yes, func(b *chaos.Build) { b.Events[3] = event("completed", 1, 9) }, "attempt 2 was given after it"},
		"finished by nobody":    {yes, func(b *chaos.Build) { b.Events[3] = event("completed", 3, 9) }, "no worker was given"},
		"an attempt never ends": {yes, func(b *chaos.Build) { b.Events = append(b.Events[:1:1], b.Events[2:]...) }, "never ends attempt 1"},
		"completed twice":       {yes, func(b *chaos.Build) { b.Attempts[0].Outcome = "completed" }, "2 attempts completed"},
		"by nobody":             {yes, func(b *chaos.Build) { b.Attempts[1].Outcome = "lost" }, "0 attempts completed"},
		"a zombie's result":     {yes, func(b *chaos.Build) { b.Made = "b1.1" }, `made by "b1.1"`},
		"no result":             {yes, func(b *chaos.Build) { b.Broken = "not found" }, "not found"},
		"a hole in the log":     {yes, func(b *chaos.Build) { b.Log = without(b.Log, 5) }, "step"},
		"a line twice":          {yes, func(b *chaos.Build) { b.Log = numbered(append(b.Log, b.Log[7])) }, "step 1 follows step 2"},
		"the log's end lost":    {yes, func(b *chaos.Build) { b.Log = without(b.Log, 8) }, "3 of 4 lines"},
		"a control line lost":   {yes, func(b *chaos.Build) { b.Log = without(b.Log, 4) }, `1 lines begin with "Assigned`},
		"a control line twice":  {yes, func(b *chaos.Build) { b.Log = numbered(append(b.Log, b.Log[9])) }, `2 lines begin with "Build completed`},
		"a number left out":     {yes, func(b *chaos.Build) { b.Log[7].Line = 12 }, "line 8 has the number 12"},
		"an attempt open":       {yes, func(b *chaos.Build) { b.Attempts[0].EndedAt = "" }, "attempt 1 is lost"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := good()
			tt.spoil(&b)
			var all []string
			for _, v := range chaos.Check(chaos.Evidence{Calls: tt.calls, Builds: map[string]chaos.Build{"b1": b}}) {
				all = append(all, v.String())
			}
			found := strings.Join(all, "\n")
			if tt.want == "" && found != "" || !strings.Contains(found, tt.want) {
				t.Errorf("violations:\n%s\nwant %q", found, tt.want)
			}
		})
	}
}

// TestCheckLooksAtTheFarm breaks one promise that concerns more than one build at a time.
func TestCheckLooksAtTheFarm(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spoil func(*chaos.Evidence)
		want  string
	}{
		"nothing": {func(*chaos.Evidence) {}, ""},
		"a submit twice": {func(e *chaos.Evidence) {
			twin := e.Builds["b1"]
			twin.ID = "b2"
			twin.Made = "b2.2"
			e.Builds["b2"] = twin
		}, "also [b2]"},
		"another's source": {func(e *chaos.Evidence) { e.Calls[0].Source = "cd" }, "cd was sent"},
		"a stuck build":    {func(e *chaos.Evidence) { e.Stuck = map[string]string{"b1": "it waits"} }, "it waits"},
		"no delivery":      {func(e *chaos.Evidence) { e.Delivered = map[string][]string{} }, "its webhook was sent []"},
		"a wrong delivery": {func(e *chaos.Evidence) { e.Delivered["b1"] = append(e.Delivered["b1"], "build.failed") }, "build.failed"},
		"of no build":      {func(e *chaos.Evidence) { e.Delivered["b9"] = []string{"build.failed"} }, "that there is not"},
		"figures":          {func(e *chaos.Evidence) { e.Figures.Completed = 2 }, "2 are counted as completed"},
		"lost attempts":    {func(e *chaos.Evidence) { e.Figures.LostAttempts = 0 }, "0 attempts are counted as lost"},
		"leftovers":        {func(e *chaos.Evidence) { e.Leftovers = []string{"3 hand-outs"} }, "3 hand-outs"},
		"an unfair order": {func(e *chaos.Evidence) {
			e.Starts = strings.Fields("probe-1 probe-1 probe-1 probe-1 probe-2 probe-3 probe-4 probe-2 probe-5")
		}, "probe-5 was start 9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := good()
			b.Source = &api.Object{SHA256: "ab"}
			e := chaos.Evidence{
				Calls:     []chaos.Call{{Kind: "submit", Build: "b1", Source: "ab", Acknowledged: true, End: noon}},
				Builds:    map[string]chaos.Build{"b1": b},
				Delivered: map[string][]string{"b1": {"build.completed"}},
				Figures:   api.DayStats{Submitted: 1, Completed: 1, LostAttempts: 1},
				Starts:    strings.Fields("probe-1 probe-2 probe-3 probe-4 probe-5 probe-1"),
			}
			tt.spoil(&e)
			var all []string
			for _, v := range chaos.Check(e) {
				all = append(all, v.String())
			}
			found := strings.Join(all, "\n")
			if tt.want == "" && found != "" || !strings.Contains(found, tt.want) {
				t.Errorf("violations:\n%s\nwant %q", found, tt.want)
			}
		})
	}
}
