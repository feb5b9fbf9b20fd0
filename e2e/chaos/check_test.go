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
		Log: append(lines(1, "Build submitted", "fake install: step 1 of 2"),
			lines(2, "fake install: step 1 of 2", "fake install: step 2 of 2", "fake export: step 1 of 2", "fake export: step 2 of 2")...),
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
		"a hole in the log":     {yes, func(b *chaos.Build) { b.Log = append(b.Log[:2:2], b.Log[3:]...) }, "step"},
		"a line twice":          {yes, func(b *chaos.Build) { b.Log = append(b.Log, b.Log[5]) }, "follows step 2"},
		"the log's end lost":    {yes, func(b *chaos.Build) { b.Log = b.Log[:5] }, "3 of 4 lines"},
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
