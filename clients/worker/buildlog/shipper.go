package buildlog

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// batchWait collects lines before they are sent: short enough to look live.
	batchWait = 50 * time.Millisecond
	// liveLines is sent without waiting for more.
	liveLines = 100
	// maxLines and maxBytes bound a chunk when there is a backlog; the bus takes messages up to 1 MiB.
	maxLines = 1000
	maxBytes = 256 << 10
	// ackWait bounds the wait for one acknowledgement: one that was on its way when the bus went away never comes, and a repeat is
	// recognised by its id. retryMax bounds the pause between two tries.
	ackWait  = 2 * time.Second
	retryMax = 2 * time.Second
	// lineCost is what a waiting line takes besides its text.
	lineCost = 64
)

// DefaultBuffer is how many bytes of lines of one build wait in memory while the bus is away.
const DefaultBuffer = 64 << 20

// Config of a Shipper.
type Config struct {
	WorkerID, BuildID string
	Attempt           int32
	// Publish sends one message and returns when it is stored.
	Publish func(ctx context.Context, m *nats.Msg) error
	// Buffer in bytes; 0 means DefaultBuffer.
	Buffer int
	// Limits of what is sent.
	Limits Limits
	Log    *slog.Logger
}

// Shipper sends the lines of one attempt, numbered without a gap from 1. Chunks go one after the other, so that the stream
// holds them in order whatever is repeated; a backlog makes them larger instead. It is safe for concurrent use.
type Shipper struct {
	cfg Config

	mu      sync.Mutex
	lines   []*eventsv1.LogLine // not acknowledged yet
	first   int64               // number of lines[0]
	bytes   int
	budget  budget
	stopped bool
	// changed is closed and replaced whenever lines leave or the shipper ends; added wakes the sender.
	changed chan struct{}
	added   chan struct{}
}

// New returns a shipper that sends nothing until Run.
func New(cfg Config) *Shipper {
	if cfg.Buffer == 0 {
		cfg.Buffer = DefaultBuffer
	}
	return &Shipper{cfg: cfg, first: 1, budget: budget{limits: cfg.Limits.withDefaults()}, changed: make(chan struct{}), added: make(chan struct{}, 1)}
}

// Line adds a line. It waits while the buffer is full, until ctx ends; a line that comes after Run's end, or finds no place
// before ctx ends, is dropped. Beyond the limits only the last lines are kept, which Flush sends.
func (s *Shipper) Line(ctx context.Context, level, stage, text string) {
	line := &eventsv1.LogLine{AtMs: time.Now().UnixMilli(), Level: level, Stage: stage, Text: text}
	for {
		full, changed := s.add(line)
		if !full {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
	select {
	case s.added <- struct{}{}:
	default:
	}
}

func (s *Shipper) add(line *eventsv1.LogLine) (full bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false, nil
	}
	if len(s.lines) > 0 && s.bytes+cost(line) > s.cfg.Buffer {
		return true, s.changed
	}
	send, notice := s.budget.admit(line)
	if notice != nil {
		s.push(notice)
	}
	if send {
		s.push(line)
	}
	return false, nil
}

// push is called with mu held.
func (s *Shipper) push(line *eventsv1.LogLine) {
	s.lines = append(s.lines, line)
	s.bytes += cost(line)
}

func cost(l *eventsv1.LogLine) int { return len(l.GetText()) + len(l.GetStage()) + lineCost }

// Run sends until ctx ends.
func (s *Shipper) Run(ctx context.Context) {
	defer s.stop()
	var sent time.Time
	for {
		chunk := s.next()
		if chunk == nil {
			select {
			case <-s.added:
				s.collect(ctx, batchWait-time.Since(sent))
				continue
			case <-ctx.Done():
				return
			}
		}
		if !s.send(ctx, chunk) {
			return
		}
		s.sent(len(chunk.GetLines()))
		sent = time.Now()
	}
}

// collect waits a little for more lines to come. The first line after a silence is sent at once.
func (s *Shipper) collect(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	for s.waiting() < liveLines {
		select {
		case <-s.added:
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (s *Shipper) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}

// next returns the chunk at the front; nil if there is none.
func (s *Shipper) next() *eventsv1.LogChunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, size := 0, 0
	for n < min(len(s.lines), maxLines) && (n == 0 || size+cost(s.lines[n]) <= maxBytes) {
		size += cost(s.lines[n])
		n++
	}
	if n == 0 {
		return nil
	}
	return &eventsv1.LogChunk{
		BuildId: s.cfg.BuildID, Attempt: s.cfg.Attempt, FirstLine: s.first, Lines: append([]*eventsv1.LogLine(nil), s.lines[:n]...),
	}
}

// send repeats until the chunk is stored; false if ctx ends before.
func (s *Shipper) send(ctx context.Context, chunk *eventsv1.LogChunk) bool {
	msg, err := s.message(chunk)
	if err != nil {
		s.cfg.Log.ErrorContext(ctx, "encode log lines failed", "build_id", s.cfg.BuildID, "err", err)
		return true
	}
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, retryMax) {
		if err = s.publish(ctx, msg); err == nil {
			return true
		}
		s.cfg.Log.DebugContext(ctx, "log lines not stored yet", "build_id", s.cfg.BuildID, "first_line", chunk.GetFirstLine(), "err", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return false
		}
	}
}

func (s *Shipper) publish(ctx context.Context, m *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	return s.cfg.Publish(ctx, m)
}

func (s *Shipper) message(chunk *eventsv1.LogChunk) (*nats.Msg, error) {
	data, err := proto.Marshal(chunk)
	if err != nil {
		return nil, err
	}
	m := nats.NewMsg(bus.LogSubject(s.cfg.WorkerID, s.cfg.BuildID, s.cfg.Attempt))
	m.Header.Set(nats.MsgIdHdr, fmt.Sprintf("%s.%d.%d", s.cfg.BuildID, s.cfg.Attempt, chunk.GetFirstLine()))
	m.Header.Set(bus.HeaderLines, bus.LogLines(chunk.GetFirstLine(), len(chunk.GetLines())))
	m.Data = data
	return m, nil
}

func (s *Shipper) sent(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines[:n] {
		s.bytes -= cost(l)
	}
	clear(s.lines[:n]) // so that the array behind, reused while it has room, holds on to nothing
	s.lines = s.lines[n:]
	s.first += int64(n)
	s.notify()
}

func (s *Shipper) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.notify()
}

// notify wakes who waits for lines to leave. It is called with mu held.
func (s *Shipper) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Flush waits until every line that was added before is stored, those kept beyond the limits too. It returns the cause of ctx if that ends
// first, and nil after Run's end.
func (s *Shipper) Flush(ctx context.Context) error {
	s.release()
	for {
		s.mu.Lock()
		done, changed := s.stopped || len(s.lines) == 0, s.changed
		s.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("send the last log lines: %w", context.Cause(ctx))
		}
	}
}

// release sends the lines that the limits held back.
func (s *Shipper) release() {
	s.mu.Lock()
	if !s.stopped {
		for _, l := range s.budget.release() {
			s.push(l)
		}
	}
	s.mu.Unlock()
	select {
	case s.added <- struct{}{}:
	default:
	}
}
