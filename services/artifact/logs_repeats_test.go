package artifact_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// control is a message of the control plane, as it lies in the scheduler's outbox.
func (f *farm) control(id, text string) bus.Message {
	f.t.Helper()
	m, err := bus.NewMessage(f.t.Context(), "test", bus.LogSubject(bus.System, id, 1), time.Now(), &eventsv1.LogChunk{
		BuildId: id, Attempt: 1, Lines: []*eventsv1.LogLine{{AtMs: 1_700_000_000_000, Level: "info", Text: text}},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	m.Header[bus.HeaderLines] = bus.LogLines(0, 1)
	return m
}

// send publishes a message until the stream has stored it (again), however long it recognises a repeat.
func (f *farm) send(m bus.Message) {
	f.t.Helper()
	f.eventually("the stream stores "+m.ID, func() bool {
		ack, err := f.js().PublishMsg(f.t.Context(), m.NATS())
		if err != nil {
			f.t.Fatal(err)
		}
		return !ack.Duplicate
	})
}

// forgetful makes the stream of logs recognise repeats for the shortest time that the server allows.
func (f *farm) forgetful() {
	f.t.Helper()
	s, err := f.js().Stream(f.t.Context(), bus.LogsStream)
	if err != nil {
		f.t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.Duplicates = 100 * time.Millisecond
	if _, err := f.js().UpdateStream(f.t.Context(), cfg); err != nil {
		f.t.Fatal(err)
	}
}

// TestRepeatsOfTheOutboxAreOneLine: the outbox publishes a line again after a crash, and the stream has forgotten its id. It is
// there once: in the live log, in the archive, and when the repeat comes behind the archive.
func TestRepeatsOfTheOutboxAreOneLine(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: quick})
	f.forgetful()
	submitted, assigned, ended := f.control("b1", "Build submitted"), f.control("b1", "Assigned to worker mac"), f.control("b1", "Build completed successfully")
	want := []string{"Build submitted", "Assigned to worker mac", "a1", "a2", "Build completed successfully"}
	f.send(submitted)
	f.send(assigned)
	f.send(submitted)
	f.say("b1", "w1", 1, 1, "a1", "a2")
	f.send(assigned)
	f.send(ended)
	f.send(ended)
	if n := f.inStream("b1"); n != 7 {
		t.Fatalf("%d messages in the stream, want 7", n)
	}
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("live: -want +got\n%s", diff)
	}
	f.ends("b1", 0)
	archived := func() bool { return f.log0("b1").GetObject() != nil && f.inStream("b1") == 0 }
	f.eventually("the log is archived", archived)
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("archived: -want +got\n%s", diff)
	}
	object := f.log0("b1").GetObject().GetObjectId()
	for _, m := range []bus.Message{submitted, assigned, ended} {
		f.send(m)
	}
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("behind the archive: -want +got\n%s", diff)
	}
	f.eventually("the repeats left the stream", archived)
	if l := f.log0("b1"); l.GetObject().GetObjectId() != object || l.GetLines() != int64(len(want)) {
		t.Errorf("log = %v, want %s with %d lines: repeats are no reason for another archive", l, object, len(want))
	}
}

// TestAnArchiveOfLostMessagesDoublesNothing: the bus lost messages that were archived already, and the outbox publishes them
// again, so the archivist reads the stream from its beginning.
func TestAnArchiveOfLostMessagesDoublesNothing(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: func(c *artifact.Config) { quick(c); c.LogGrace = time.Hour }})
	submitted, ended := f.control("b1", "Build submitted"), f.control("b1", "Build completed successfully")
	f.say("other", "w1", 1, 1, "so that places differ")
	f.send(submitted)
	f.say("b1", "w1", 1, 1, "a1", "a2")
	f.send(ended)
	f.ends("b1", 0)
	f.eventually("the log is archived", func() bool { return f.log0("b1").GetObject() != nil })
	if err := f.js().DeleteStream(f.t.Context(), bus.LogsStream); err != nil {
		t.Fatal(err)
	}
	if err := bus.Ensure(t.Context(), f.js(), bus.NewTopology(1)); err != nil {
		t.Fatal(err)
	}
	f.send(submitted)
	f.send(ended)
	late := f.control("b1", "Retried as build b2")
	f.send(late)
	f.overdue("b1")
	f.eventually("the late line is archived", func() bool { return f.log0("b1").GetLines() > 4 })
	want := []string{"Build submitted", "a1", "a2", "Build completed successfully", "Retried as build b2"}
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestAnArchiveMadeTwiceIsOne: the archivist is killed after it stored the object and before its row, or after the row. After the
// restart the build has one row and one object, and its readers see each line once.
func TestAnArchiveMadeTwiceIsOne(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"stored", "saved", "purged"} {
		for _, size := range []string{"small", "large"} {
			t.Run(step+" "+size, func(t *testing.T) {
				t.Parallel()
				died := make(chan struct{})
				var deaths atomic.Int32
				f := setup(t, option{
					config: func(c *artifact.Config) { quick(c); c.TicketTTL, c.StagedTTL = time.Second, 2*time.Second },
					prepare: func(s *artifact.Service) {
						s.SetLogs(50*time.Millisecond, time.Hour, func(at string) error {
							if at == step && deaths.Add(1) == 1 {
								close(died)
							}
							if deaths.Load() > 0 {
								return errKilled
							}
							return nil
						})
					},
				})
				say := f.sayWhole
				if size == "large" {
					say = f.sayMuch
				}
				want := say("b1")
				f.ends("b1", 0)
				<-died
				if err := f.stop(); err != nil && !errors.Is(err, errKilled) {
					t.Fatal(err)
				}
				f.prepare = []func(*artifact.Service){func(s *artifact.Service) { s.SetLogs(time.Minute, time.Millisecond, nil) }}
				f.overdue("b1")
				f.start(artifact.Deps{DB: f.db, Store: f.store, Conn: f.conn, Log: f.slog()})
				f.eventually("the log is archived", func() bool { return f.log0("b1").GetObject() != nil && f.inStream("b1") == 0 })
				f.eventually("one row, one object", func() bool {
					want := 1
					if size == "small" { // its bytes lie in the row
						want = 0
					}
					return len(f.keys()) == want && f.rows() == 1 && f.logRows() == 1
				})
				if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
			})
		}
	}
}
