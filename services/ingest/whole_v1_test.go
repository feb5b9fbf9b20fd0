package ingest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// TestV1ListsAll: without a limit the list has every build, newest first, as the original's.
func TestV1ListsAll(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const all = 1234
	f.scheduler.mu.Lock()
	for i := range all {
		f.scheduler.builds = append(f.scheduler.builds, &schedulerv1.Build{Id: fmt.Sprint("b", i), State: "completed", Seq: int64(i + 1), SubmittedAtMs: 1, FinishedAtMs: 2})
	}
	f.scheduler.mu.Unlock()
	var list []struct{ ID string }
	if err := json.Unmarshal(f.get("/api/builds").want(t, 200).body, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != all || list[0].ID != "b1233" || list[all-1].ID != "b0" {
		t.Errorf("%d builds, want %d, the newest first", len(list), all)
	}
	r := f.get("/api/builds?limit=10").want(t, 200)
	if err := json.Unmarshal(r.body, &list); err != nil || len(list) != 10 || r.header.Get("Link") == "" {
		t.Errorf("a page has %d builds, %v, Link %q", len(list), err, r.header.Get("Link"))
	}
	if r := setup(t).get("/api/builds").want(t, 200); strings.TrimSpace(string(r.body)) != "[]" {
		t.Errorf("no builds = %s", r.body)
	}
}
