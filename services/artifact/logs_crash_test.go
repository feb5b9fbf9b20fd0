package artifact_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/objects/objectstest"
)

var errKilled = errors.New("killed here")

// TestArchiveSurvivesACrashAtEachStep breaks off after each step, as a kill would, and lets another replica go on. At every
// moment readers see each line once.
func TestArchiveSurvivesACrashAtEachStep(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"stored", "saved", "purged"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			died := make(chan struct{})
			var deaths atomic.Int32
			f := setup(t, option{config: quick, prepare: func(s *artifact.Service) {
				s.SetLogs(50*time.Millisecond, time.Hour, func(at string) error { // an hour: this one does not try again by itself
					if at == step && deaths.Add(1) == 1 {
						close(died)
					}
					if deaths.Load() > 0 {
						return errKilled
					}
					return nil
				})
			}})
			want := f.sayWhole("b1")
			f.ends("b1", 0)
			<-died
			if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
				t.Errorf("after the crash: -want +got\n%s", diff)
			}
			if err := f.stop(); err != nil {
				t.Fatal(err)
			}
			f.prepare = []func(*artifact.Service){func(s *artifact.Service) { s.SetLogs(time.Minute, time.Millisecond, nil) }}
			f.overdue("b1")
			f.start(artifact.Deps{DB: f.db, Store: f.store, Conn: f.conn, Log: f.slog()})
			f.eventually("the next replica went on", func() bool { return f.log0("b1").GetObject() != nil && f.inStream("b1") == 0 })
			if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// overdue lets the time of a row pass.
func (f *farm) overdue(id string) {
	f.t.Helper()
	f.sqlExec("UPDATE build_logs SET due_ms = 1 WHERE build_id = $1", id)
}

// TestReplicasArchiveOnce: leases that are too short make replicas work on the same log at once; one archive wins, and readers
// see each line once all the while.
func TestReplicasArchiveOnce(t *testing.T) {
	t.Parallel()
	hasty := func(s *artifact.Service) { s.SetLogs(time.Second, time.Millisecond, nil) }
	f := setup(t, option{config: quick, prepare: hasty})
	first := f.url
	f.start(artifact.Deps{DB: f.db, Store: f.store, Conn: f.bus.Connect("second"), Log: f.slog()})
	if f.url == first {
		t.Fatal("no second replica")
	}
	const builds = 12
	var wants [builds][]string
	for i := range builds {
		wants[i] = f.sayWhole(fmt.Sprint("b", i))
		f.ends(fmt.Sprint("b", i), 0)
	}
	for done := 0; done < builds; {
		done = 0
		for i := range builds {
			id := fmt.Sprint("b", i)
			if diff := cmp.Diff(wants[i], f.whole(id)); diff != "" {
				t.Fatalf("%s: -want +got\n%s", id, diff)
			}
			if f.inStream(id) == 0 && f.log0(id).GetObject() != nil {
				done++
			}
		}
	}
}

func TestArchiveWaitsForABrokenStore(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	broken.Store(true)
	f := setup(t, option{config: quick, prepare: func(s *artifact.Service) { s.SetLogs(time.Minute, 10*time.Millisecond, nil) },
		wrap: func(s objects.Store) objects.Store {
			return objectstest.WithFailure(s, func(op objectstest.Op, _ string) error {
				if op == objectstest.OpPut && broken.Load() {
					return objects.ErrNoSpace
				}
				return nil
			})
		}})
	want := f.sayMuch("b1")
	f.ends("b1", 0)
	f.eventually("it was tried", func() bool { return strings.Count(f.log.String(), "archive log failed") > 1 })
	if f.log0("b1").GetObject() != nil || f.inStream("b1") == 0 {
		t.Error("the log left the stream without an archive")
	}
	broken.Store(false)
	f.eventually("it is archived", func() bool { return f.inStream("b1") == 0 })
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestALongCopyKeepsItsLog: the store takes longer than a lease, and no other replica begins meanwhile.
func TestALongCopyKeepsItsLog(t *testing.T) {
	t.Parallel()
	var puts atomic.Int32
	var slow objects.Store
	release := make(chan struct{})
	f := setup(t, option{config: quick, prepare: func(s *artifact.Service) { s.SetLogs(300*time.Millisecond, time.Millisecond, nil) },
		wrap: func(s objects.Store) objects.Store {
			slow = objectstest.WithFailure(s, func(op objectstest.Op, _ string) error {
				if op == objectstest.OpPut {
					puts.Add(1)
					<-release
				}
				return nil
			})
			return slow
		}})
	f.start(artifact.Deps{DB: f.db, Store: slow, Conn: f.bus.Connect("second"), Log: f.slog()})
	want := f.sayMuch("b1")
	f.ends("b1", 0)
	f.eventually("it is copied", func() bool { return puts.Load() > 0 })
	leases := map[int64]bool{}
	f.eventually("the lease is renewed ten times", func() bool {
		var due int64
		if err := f.db.Read().QueryRowContext(t.Context(), "SELECT due_ms FROM build_logs WHERE build_id = 'b1'").Scan(&due); err != nil {
			t.Fatal(err)
		}
		leases[due] = true
		return len(leases) > 10
	})
	if n := puts.Load(); n != 1 {
		t.Errorf("%d replicas copied the log at once, want 1", n)
	}
	close(release)
	f.eventually("the log left the stream", func() bool { return f.log0("b1").GetObject() != nil && f.inStream("b1") == 0 })
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
