package standalone_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// readLogs reads the logs of builds that have ended while the server is killed, until stop.
func (k *kills) readLogs(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			for _, id := range k.unread() {
				k.readLive(ctx, id)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// unread are the acknowledged builds whose live log nobody has read whole.
func (k *kills) unread() (ids []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range k.acknowledged {
		if _, read := k.live[id]; !read {
			ids = append(ids, id)
		}
	}
	return ids
}

func (k *kills) readLive(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client := k.client()
	before, err := client.Builds.Get(ctx, id)
	if err != nil || !before.Final() || archivedLog(before) {
		return
	}
	texts, missing, err := k.readLog(ctx, client, before)
	if err != nil || missing != "" {
		return // killed, or its last line is on its way
	}
	if after, err := client.Builds.Get(ctx, id); err == nil && !archivedLog(after) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.live[id] = texts
	}
}

func archivedLog(b api.Build) bool { return b.Log != nil && b.Log.ArchivedAt != "" }

// readLog reads the log of a build that has ended. What no later line can mend is an error of the test; missing says what a later
// line can.
func (k *kills) readLog(ctx context.Context, client *api.Client, b api.Build) (texts []string, missing string, err error) {
	k.t.Helper()
	var lines []api.LogLine
	if err := client.Builds.ReadLog(ctx, b.ID, func(l api.LogLine) error { lines = append(lines, l); return nil }); err != nil {
		return nil, "", err
	}
	got := map[string]int{}
	for i, l := range lines {
		texts = append(texts, l.Text)
		if l.Line != int64(i+1) {
			k.t.Errorf("build %s: line %d has the number %d", b.ID, i+1, l.Line)
		}
		if strings.Contains(l.Text, " missing here)") {
			k.t.Errorf("build %s: line %d says %q", b.ID, i+1, l.Text)
		}
		got[controlLine(l)]++
	}
	for line, n := range controlLines(b) {
		switch {
		case got[line] > n:
			k.t.Errorf("build %s: %q is there %d times, want %d:\n%s", b.ID, line, got[line], n, strings.Join(texts, "\n"))
		case got[line] < n:
			missing = fmt.Sprintf("%q is there %d times, want %d:\n%s", line, got[line], n, strings.Join(texts, "\n"))
		}
	}
	return texts, missing, nil
}

// controlLines says how often the log of a completed build has each line of the control plane.
func controlLines(b api.Build) map[string]int {
	want := map[string]int{"Build submitted": 1, "Build completed successfully": 1}
	for _, a := range b.Attempts {
		want[fmt.Sprintf("Assigned to worker, attempt %d", a.Number)] = 1
		if lost := fmt.Sprintf("Attempt %d ended early", a.Number); a.Outcome == "completed" {
			want[lost] = 0
		} else {
			want[lost] = 1
		}
	}
	return want
}

// controlLine is the line as controlLines has it.
func controlLine(l api.LogLine) string {
	if strings.HasPrefix(l.Text, "Assigned to worker ") {
		return fmt.Sprintf("Assigned to worker, attempt %d", l.Attempt)
	}
	if lost, _, ok := strings.Cut(l.Text, ":"); ok && strings.HasSuffix(lost, " ended early") {
		return lost
	}
	return l.Text
}

// allLogged wants the log of every build whole: now, and when it is archived and has left the stream. An archive begins with
// what was read before.
func (k *kills) allLogged() {
	k.t.Helper()
	for _, id := range k.acknowledged {
		k.wholeLog(id)
	}
	for _, id := range k.acknowledged {
		k.eventually("the log of "+id+" is archived", func() bool { return k.archived(id) && k.inStream(id) == 0 })
		texts := k.wholeLog(id)
		if live := k.live[id]; len(live) > len(texts) || !slices.Equal(live, texts[:len(live)]) {
			k.t.Errorf("build %s: archived as\n%s\nread before as\n%s", id, strings.Join(texts, "\n"), strings.Join(live, "\n"))
		}
	}
	k.t.Logf("%d logs, %d of them read while they were live", len(k.acknowledged), len(k.live))
}

func (k *kills) wholeLog(id string) (texts []string) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), standstill)
	defer cancel()
	client, tick := k.client(), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		var missing string
		b, err := client.Builds.Get(ctx, id)
		if err == nil {
			texts, missing, err = k.readLog(ctx, client, b)
		}
		if err == nil && missing == "" {
			return texts
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			k.t.Errorf("build %s: %s%v", id, missing, err)
			return texts
		}
	}
}
