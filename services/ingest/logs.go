package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// chunk is a message of a build's log and its place in the stream, which is the log's order.
type chunk struct {
	*eventsv1.LogChunk
	seq uint64
}

// tail is an open reader of one build's log.
type tail struct {
	it      jetstream.MessagesContext
	pending uint64 // messages that were there when it was opened
}

// openLog reads from the stream position after `after`.
func (g *Ingest) openLog(ctx context.Context, buildID string, after uint64) (*tail, error) {
	cfg := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{bus.LogSubjectsOf(buildID)}, InactiveThreshold: 30 * time.Second,
	}
	if after > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, after+1
	}
	cons, err := g.js.OrderedConsumer(ctx, bus.LogsStream, cfg)
	if err != nil {
		return nil, fmt.Errorf("%w: open the log: %w", build.ErrUnavailable, err)
	}
	t := &tail{pending: cons.CachedInfo().NumPending}
	if t.it, err = cons.Messages(); err != nil {
		return nil, fmt.Errorf("%w: open the log: %w", build.ErrUnavailable, err)
	}
	return t, nil
}

func (t *tail) close() { t.it.Stop() }

func (t *tail) next(ctx context.Context) (chunk, error) {
	m, err := t.it.Next(jetstream.NextContext(ctx))
	if err != nil {
		return chunk{}, fmt.Errorf("%w: read the log: %w", build.ErrUnavailable, err)
	}
	md, err := m.Metadata()
	if err != nil {
		return chunk{}, fmt.Errorf("read the log: %w", err)
	}
	c := chunk{LogChunk: new(eventsv1.LogChunk), seq: md.Sequence.Stream}
	if err := proto.Unmarshal(m.Data(), c.LogChunk); err != nil {
		// A line nobody can read must not hide the others.
		c.LogChunk = &eventsv1.LogChunk{Lines: []*eventsv1.LogLine{{AtMs: md.Timestamp.UnixMilli(), Level: "warn", Text: "(unreadable log lines)"}}}
	}
	return c, nil
}

// readTimeout bounds the reading of a whole log.
const readTimeout = 30 * time.Second

// wholeLog gives what the log holds now to f, oldest first.
func (g *Ingest) wholeLog(ctx context.Context, buildID string, f func(chunk)) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	t, err := g.openLog(ctx, buildID, 0)
	if err != nil {
		return err
	}
	defer t.close()
	for range t.pending {
		c, err := t.next(ctx)
		if err != nil {
			return err
		}
		f(c)
	}
	return nil
}

type lineV1 struct {
	Timestamp int64  `json:"timestamp"`
	Level     string `json:"level"`
	Message   string `json:"message"`
}

func (g *Ingest) logsV1(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "id")
	if _, err := g.getBuild(r.Context(), id); err != nil {
		g.fail(w, r, v1, err)
		return
	}
	lines := []lineV1{}
	err := g.wholeLog(r.Context(), id, func(c chunk) {
		for _, l := range c.GetLines() {
			lines = append(lines, lineV1{Timestamp: l.GetAtMs(), Level: l.GetLevel(), Message: l.GetText()})
		}
	})
	if err != nil {
		g.fail(w, r, v1, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"build_id": id, "logs": lines})
}

func (g *Ingest) logsV2(w http.ResponseWriter, r *http.Request) {
	resp, err := g.getBuild(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		g.fail(w, r, v2, err)
		return
	}
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		g.followLog(w, r, resp.GetBuild())
		return
	}
	lines := []api.LogLine{}
	err = g.wholeLog(r.Context(), resp.GetBuild().GetId(), func(c chunk) {
		for _, l := range c.GetLines() {
			lines = append(lines, lineV2(c, l))
		}
	})
	if err != nil {
		g.fail(w, r, v2, err)
		return
	}
	writeJSON(w, http.StatusOK, lines)
}

func lineV2(c chunk, l *eventsv1.LogLine) api.LogLine {
	return api.LogLine{At: iso(l.GetAtMs()), Level: l.GetLevel(), Stage: l.GetStage(), Attempt: int(c.GetAttempt()), Text: l.GetText()}
}

// position is a place in the log that a follower can go on from: chunk and line.
type position struct {
	seq  uint64
	line int
}

func (p position) String() string { return fmt.Sprintf("%d.%d", p.seq, p.line) }

// parsePosition reads what position wrote; anything else is the beginning.
func parsePosition(s string) position {
	a, b, _ := strings.Cut(s, ".")
	seq, err1 := strconv.ParseUint(a, 10, 64)
	line, err2 := strconv.Atoi(b)
	if err1 != nil || err2 != nil || seq == 0 || line < 0 {
		return position{}
	}
	return position{seq, line}
}

// sse writes server-sent events.
type sse struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func openSSE(w http.ResponseWriter) *sse {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies that buffer would hold live lines back
	w.WriteHeader(http.StatusOK)
	return &sse{w: w, rc: http.NewResponseController(w)}
}

const sseWriteTimeout = 30 * time.Second

func (s *sse) write(text string) error {
	if err := s.rc.SetWriteDeadline(time.Now().Add(sseWriteTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("set write deadline: %w", err)
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return fmt.Errorf("send events: %w", err)
	}
	return nil
}

func (s *sse) event(name, id string, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("pack event: %w", err)
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	return s.write("event: " + name + "\n" + id + "data: " + string(body) + "\n\n")
}

func (s *sse) flush() error {
	if err := s.rc.Flush(); err != nil {
		return fmt.Errorf("send events: %w", err)
	}
	return nil
}

// beat keeps proxies and clients from taking a quiet build for a dead line.
const beat = 15 * time.Second

// followLog sends the log live from Last-Event-ID on, and "end" with the build when it has ended and all is sent.
func (g *Ingest) followLog(w http.ResponseWriter, r *http.Request, b *schedulerv1.Build) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(g.stopping, cancel)()
	from := parsePosition(r.Header.Get("Last-Event-ID"))
	after := uint64(0)
	if from.seq > 0 {
		after = from.seq - 1 // the chunk may have lines that were not sent
	}
	t, err := g.openLog(ctx, b.GetId(), after)
	if err != nil {
		g.fail(w, r, v2, err)
		return
	}
	defer t.close()
	f := &follower{g: g, out: openSSE(w), tail: t, from: from, build: b}
	if err := f.run(ctx); err != nil && ctx.Err() == nil {
		g.log.InfoContext(ctx, "log not followed to its end", "request_id", requestID(ctx), "build_id", b.GetId(), "err", err)
	}
}

type follower struct {
	g     *Ingest
	out   *sse
	tail  *tail
	from  position
	build *schedulerv1.Build
}

func (f *follower) run(ctx context.Context) error {
	if err := f.out.write(": following\n\n"); err != nil {
		return err
	}
	ended := build.State(f.build.GetState()).Final()
	for n := uint64(0); ; n++ {
		if n >= f.tail.pending {
			if err := f.out.flush(); err != nil {
				return err
			}
			if ended {
				return f.end(ctx)
			}
		}
		c, err := f.wait(ctx)
		if err != nil {
			return err
		}
		if err := f.send(c); err != nil {
			return err
		}
		ended = ended || c.GetLast()
		if c.GetLast() && n+1 >= f.tail.pending {
			return f.end(ctx)
		}
	}
}

// wait gives the next chunk, and a comment now and then while there is none.
func (f *follower) wait(ctx context.Context) (chunk, error) {
	for {
		turn, cancel := context.WithTimeout(ctx, beat)
		c, err := f.tail.next(turn)
		quiet := turn.Err() != nil && ctx.Err() == nil
		cancel()
		if !quiet {
			return c, err
		}
		if err := errors.Join(f.out.write(": still here\n\n"), f.out.flush()); err != nil {
			return c, err
		}
	}
}

func (f *follower) send(c chunk) error {
	for i, l := range c.GetLines() {
		p := position{c.seq, i}
		if p.seq == f.from.seq && p.line <= f.from.line {
			continue
		}
		if err := f.out.event("log", p.String(), lineV2(c, l)); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) end(ctx context.Context) error {
	resp, err := f.g.getBuild(ctx, f.build.GetId())
	if err != nil {
		return err
	}
	return errors.Join(f.out.event("end", "", viewV2(resp.GetBuild(), resp.GetAttempts())), f.out.flush())
}
