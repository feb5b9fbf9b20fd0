package scheduler

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// sqlite opens the database of tests that do not touch SQL's own ways.
func sqlite(tb testing.TB) *database.DB {
	tb.Helper()
	return databasetest.Open(tb, databasetest.SQLite(tb))
}

func waiting(seq int64, project string, priority int32, p build.Platform) store.Build {
	return store.Build{Seq: seq, ID: string(rune('a' + seq)), Project: project, Priority: priority, Platform: p, Pool: "default"}
}

func mac(slots, held int32, platforms ...build.Platform) store.Capacity {
	return store.Capacity{Worker: store.Worker{Pool: "default", Slots: slots, Platforms: platforms}, Held: held}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	ios := store.Lane{Pool: "default", Platform: build.IOS}
	many := []store.Build{
		waiting(1, "big", 0, build.IOS), waiting(2, "big", 0, build.IOS), waiting(3, "big", 0, build.IOS),
		waiting(4, "small", 0, build.IOS), waiting(5, "big", 0, build.IOS),
	}
	tests := []struct {
		name string
		w    world
		want []int64
	}{
		{"nobody is there", world{pending: many}, nil},
		{"nobody can do it", world{pending: many, workers: []store.Capacity{mac(4, 0, build.Android)}}, nil},
		{"free slots and the window", world{pending: many[:3], workers: []store.Capacity{mac(1, 0)}}, []int64{1, 2}},
		{"busy: only the window", world{pending: many[:3], workers: []store.Capacity{mac(1, 1)}}, []int64{1}},
		{"what is queued counts", world{pending: many[:3], workers: []store.Capacity{mac(1, 0)}, queued: map[store.Lane]int{ios: 2}}, nil},
		{"projects alternate", world{pending: many, workers: []store.Capacity{mac(2, 0)}}, []int64{1, 2, 4}},
		{
			"a project with a share waits",
			world{pending: many, workers: []store.Capacity{mac(1, 1)}, live: map[store.Lane]map[string]int{ios: {"big": 1}}},
			[]int64{4},
		},
		{
			"priority goes before fairness",
			world{pending: []store.Build{waiting(6, "big", 5, build.IOS), waiting(4, "small", 0, build.IOS)}, workers: []store.Capacity{mac(1, 1)},
				live: map[store.Lane]map[string]int{ios: {"big": 9}}},
			[]int64{6},
		},
		{
			"lanes are apart",
			world{pending: []store.Build{waiting(1, "a", 0, build.IOS), waiting(2, "a", 0, build.Android)}, workers: []store.Capacity{mac(1, 0, build.Android)}},
			[]int64{2},
		},
	}
	for _, tt := range tests {
		var got []int64
		for _, b := range choose(tt.w) {
			got = append(got, b.Seq)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: choose (-want +got):\n%s", tt.name, diff)
		}
	}
}
