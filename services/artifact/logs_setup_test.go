package artifact_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/artifact"
	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
	logstream "github.com/expo-free-agent/freeagent/shared/buildlog/stream"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// quick makes a log's life short.
func quick(c *artifact.Config) {
	c.LogSettle, c.LogGrace, c.LogSweep = 10*time.Millisecond, 20*time.Millisecond, 20*time.Millisecond
}

func (f *farm) js() jetstream.JetStream { f.t.Helper(); return f.bus.JetStream(f.conn) }

func (f *farm) publish(subject string, fact proto.Message) {
	f.t.Helper()
	m, err := bus.NewMessage(f.t.Context(), "test", subject, time.Now(), fact)
	if err == nil {
		_, err = f.js().PublishMsg(f.t.Context(), m.NATS())
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// say adds lines of a worker to a log; the first one to speak in an attempt holds it.
func (f *farm) say(id, worker string, attempt int32, first int64, texts ...string) {
	f.t.Helper()
	if worker != bus.System {
		f.scheduler.claim(id, worker, attempt)
	}
	c := &eventsv1.LogChunk{BuildId: id, Attempt: attempt, FirstLine: first}
	for _, text := range texts {
		c.Lines = append(c.Lines, &eventsv1.LogLine{AtMs: 1_700_000_000_000, Level: "info", Stage: "install", Text: text})
	}
	f.publish(bus.LogSubject(worker, id, attempt), c)
}

// ends tells of a build's end; ago says how long ago it was.
func (f *farm) ends(id string, ago time.Duration) {
	f.t.Helper()
	at := time.Now().Add(-ago).UnixMilli()
	f.scheduler.set(&schedulerv1.Build{Id: id, Project: "shop", State: "completed", FinishedAtMs: at}, "")
	f.publish(bus.BuildSubject(id, bus.Completed), &eventsv1.BuildCompleted{BuildId: id, FinishedAtMs: at})
}

func (f *farm) log0(id string) *artifactv1.LogResponse {
	f.t.Helper()
	var resp artifactv1.LogResponse
	if err := f.call("log", &artifactv1.LogRequest{BuildId: id}, &resp); err != nil {
		f.t.Fatalf("log: %v", err)
	}
	return &resp
}

// granted reads an archive with a ticket, as the gateway does.
type granted struct {
	f     *farm
	grant *artifactv1.Grant
}

func (g granted) Size() int64 { return g.grant.GetObject().GetSize() }

func (g granted) ReadAt(_ context.Context, p []byte, offset int64) error {
	a := g.f.get(g.grant, "Range", fmt.Sprintf("bytes=%d-%d", offset, offset+int64(len(p))-1))
	if a.status != http.StatusPartialContent || len(a.body) != len(p) {
		return fmt.Errorf("status %d with %d bytes: %w", a.status, len(a.body), a.err)
	}
	copy(p, a.body)
	return nil
}

// whole returns a log as its readers see it: the archive, then what the stream has beyond. If there is another archive
// afterwards, what lay in the stream may have been deleted meanwhile, and it is read again.
func (f *farm) whole(id string) []string {
	f.t.Helper()
	for {
		before := f.log0(id)
		texts := f.wholeBy(id, before)
		if f.log0(id).GetObject().GetObjectId() == before.GetObject().GetObjectId() {
			return texts
		}
	}
}

func (f *farm) wholeBy(id string, resp *artifactv1.LogResponse) (texts []string) {
	f.t.Helper()
	add := func(l logarchive.Line) error {
		if l.Number != int64(len(texts)+1) {
			f.t.Errorf("line %d has the number %d", len(texts)+1, l.Number)
		}
		texts = append(texts, l.Text)
		return nil
	}
	numbers := logstream.NewNumbering(0, nil)
	if resp.GetObject() != nil {
		r, err := logarchive.Open(f.t.Context(), granted{f, f.grantDownload(resp.GetObject().GetObjectId())})
		if err == nil {
			err = r.Read(f.t.Context(), 1, 0, add)
		}
		if err != nil {
			f.t.Fatal(err)
		}
		numbers = logstream.NewNumbering(r.Lines(), r.Marks())
	}
	tail, err := logstream.Open(f.t.Context(), f.js(), f.authors(), id, resp.GetThroughSeq())
	if err != nil {
		f.t.Fatal(err)
	}
	defer tail.Close(f.t.Context())
	err = tail.Backlog(f.t.Context(), func(c logstream.Chunk) error {
		for _, l := range numbers.Add(c) {
			_ = add(l)
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return texts
}

// authors are who the scheduler says.
func (f *farm) authors() *logstream.Authors {
	return logstream.NewAuthors(func(ctx context.Context, id string) (*schedulerv1.GetResponse, error) {
		return f.scheduler.get(ctx, &schedulerv1.GetRequest{BuildId: id})
	})
}

// inStream counts a log's messages in the stream.
func (f *farm) inStream(id string) uint64 {
	f.t.Helper()
	s, err := f.js().Stream(f.t.Context(), bus.LogsStream)
	if err != nil {
		f.t.Fatal(err)
	}
	info, err := s.Info(f.t.Context(), jetstream.WithSubjectFilter(bus.LogSubjectsOf(id)))
	if err != nil {
		f.t.Fatal(err)
	}
	n := uint64(0)
	for _, of := range info.State.Subjects {
		n += of
	}
	return n
}

func (f *farm) sayWhole(id string) (texts []string) {
	f.t.Helper()
	f.say(id, bus.System, 1, 0, "Build submitted")
	f.say(id, "w1", 1, 1, "a1", "a2")
	f.say(id, "w1", 1, 1, "a1", "a2") // sent again
	f.say(id, bus.System, 1, 0, "Attempt 1 ended early")
	f.say(id, "w2", 2, 1, "b1")
	f.say(id, "w2", 2, 2, "b2", "b3")
	f.say(id, bus.System, 2, 0, "Build completed successfully")
	return []string{"Build submitted", "a1", "a2", "Attempt 1 ended early", "b1", "b2", "b3", "Build completed successfully"}
}
