package artifact

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	logstream "github.com/expo-free-agent/freeagent/shared/buildlog/stream"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/lifecycle"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

const (
	// logBatch is how many logs one look at the table takes.
	logBatch = 100
	// logCopyTime is how long the copying of one log may take.
	logCopyTime = 10 * time.Minute
	// logRetry is the pause after a failure.
	logRetry = 5 * time.Second
	// logTurn is how often the table is looked at when nothing woke us.
	logTurn = time.Second
)

// archivist takes the logs of builds that have ended out of the stream, into one object each.
//
//	build ends --(LogSettle)--> copied, archive known --(LogGrace)--> deleted from the stream --(LogRetention)--> removed
//
// Every step may be repeated: a row says when its build's log is to be looked at, and the stream and the row say what is left
// to do. So a crash costs time only.
type archivist struct {
	s       *Service
	js      jetstream.JetStream
	authors *logstream.Authors
	log     *slog.Logger
}

func newArchivist(s *Service) (*archivist, error) {
	js, err := bus.JetStream(s.conn)
	if err != nil {
		return nil, err
	}
	return &archivist{s: s, js: js, authors: logstream.NewAuthors(s.askAttempts), log: s.log}, nil
}

// run works until ctx ends.
func (a *archivist) run(ctx context.Context) error {
	g := lifecycle.New(a.log)
	g.Go("ends of builds", a.hearEnds)
	for range a.s.cfg.LogParallel {
		g.Go("logs", a.workUntil)
	}
	g.Go("stray logs", a.sweepUntil)
	return g.Run(ctx)
}

// hearEnds notes each build that ends. The streams may come later than we do: the scheduler makes them.
func (a *archivist) hearEnds(ctx context.Context) error {
	c := bus.Consumer{
		Stream: bus.EventsStream, Durable: "artifact-logs", Parallel: 8,
		Filters: []string{bus.BuildSubjects(bus.Completed), bus.BuildSubjects(bus.Failed), bus.BuildSubjects(bus.Cancelled)},
	}
	for ctx.Err() == nil {
		if err := bus.Consume(ctx, a.js, c, a.hear, a.log); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "ends of builds are not heard yet", "err", err)
			wait(ctx, time.Second)
		}
	}
	return nil
}

func (a *archivist) hear(ctx context.Context, m jetstream.Msg) error {
	id, event, err := bus.ParseEvent(m.Subject())
	if err != nil {
		return fmt.Errorf("%w: %w", bus.ErrDrop, err)
	}
	ended, err := endOf(event, m.Data())
	if err != nil {
		return fmt.Errorf("%w: %w", bus.ErrDrop, err)
	}
	return a.note(ctx, id, ended)
}

// note has the log of a build looked at when its last lines have had their time.
func (a *archivist) note(ctx context.Context, id string, ended time.Time) error {
	if ended.UnixMilli() <= 0 { // nobody said when
		ended = a.s.now()
	}
	return a.s.rows.NoteEnded(ctx, id, ended, ended.Add(a.s.cfg.LogSettle))
}

// endOf takes the time out of the three events that end a build.
func endOf(e bus.Event, data []byte) (time.Time, error) {
	var fact interface {
		proto.Message
		GetFinishedAtMs() int64
	}
	switch e {
	case bus.Completed:
		fact = &eventsv1.BuildCompleted{}
	case bus.Failed:
		fact = &eventsv1.BuildFailed{}
	default:
		fact = &eventsv1.BuildCancelled{}
	}
	err := bus.Decode(data, fact)
	return time.UnixMilli(fact.GetFinishedAtMs()), err
}

// workUntil takes one log after the other.
func (a *archivist) workUntil(ctx context.Context) error {
	for ctx.Err() == nil {
		due, err := a.s.rows.DueLogs(ctx, a.s.now(), logBatch)
		if err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "logs that are due are not known", "err", err)
		}
		for _, l := range due {
			if ctx.Err() == nil {
				a.take(ctx, l)
			}
		}
		if len(due) < logBatch {
			wait(ctx, min(logTurn, a.s.cfg.JanitorInterval))
		}
	}
	return nil
}

// take does what is due for one log, unless another one does.
func (a *archivist) take(ctx context.Context, l store.Log) {
	lease := a.s.now().Add(a.s.logLease).Truncate(time.Millisecond)
	won, err := a.s.rows.Postpone(ctx, l, lease)
	if err == nil && won {
		l.DueAt = lease
		l, err = a.tend(ctx, l)
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	a.log.WarnContext(ctx, "log not archived yet", "build_id", l.BuildID, "err", err)
	if _, err := a.s.rows.Postpone(ctx, l, a.s.now().Add(a.s.logRetry)); err != nil {
		a.log.WarnContext(ctx, "log not put back; it is looked at again when its time is over", "build_id", l.BuildID, "err", err)
	}
}

// tend does the next step of one log's life. It gives the log as it holds it at last.
func (a *archivist) tend(ctx context.Context, l store.Log) (store.Log, error) {
	if until := a.s.keptUntil(l); !until.IsZero() && !a.s.now().Before(until) && l.ObjectID != "" {
		return l, a.remove(ctx, l)
	}
	release := a.hold(ctx, l)
	copied, through, err := a.copyNew(ctx, l)
	l.DueAt = release()
	if err != nil || copied {
		return l, err
	}
	l.ThroughSeq = through // what lies behind the archive up to here goes with what is in it
	return l, a.clear(ctx, l)
}

// clear takes what is in the archive out of the stream, when its time has come.
func (a *archivist) clear(ctx context.Context, l store.Log) error {
	if purge := l.ArchivedAt.Add(a.s.cfg.LogGrace); a.s.now().Before(purge) {
		return a.next(ctx, l, purge)
	}
	if err := a.purge(ctx, l); err != nil {
		return err
	}
	if l.ObjectID == "" {
		return a.next(ctx, l, time.Time{})
	}
	return a.next(ctx, l, a.s.keptUntil(l))
}

// hold renews the lease of a log until it is released, and then gives the last one: so a crash costs a lease, however long a copy
// takes. If another replica took the log all the same, which of the two archives counts is decided when they are saved.
func (a *archivist) hold(ctx context.Context, l store.Log) (release func() time.Time) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if wait(ctx, a.s.logLease/3); ctx.Err() != nil {
				return
			}
			lease := a.s.now().Add(a.s.logLease).Truncate(time.Millisecond)
			// It bounds itself, and its outcome is to be known.
			switch won, err := a.s.rows.Postpone(context.WithoutCancel(ctx), l, lease); {
			case err != nil:
				a.log.WarnContext(ctx, "lease of a log not renewed yet", "build_id", l.BuildID, "err", err)
			case won:
				l.DueAt = lease
			default:
				return
			}
		}
	}()
	return func() time.Time { cancel(); <-ended; return l.DueAt }
}

func (a *archivist) next(ctx context.Context, l store.Log, due time.Time) error {
	_, err := a.s.rows.Postpone(ctx, l, due) // if lost, somebody else has looked later than we did
	return err
}

// remove ends a log's time; what came late to the stream goes with it.
func (a *archivist) remove(ctx context.Context, l store.Log) error {
	if err := a.purge(ctx, store.Log{BuildID: l.BuildID}); err != nil {
		return err
	}
	won, err := a.s.rows.RemoveArchive(ctx, l, a.s.now())
	if won {
		a.log.InfoContext(ctx, "log removed by age", "build_id", l.BuildID, "lines", l.Lines, "ended", l.EndedAt)
	}
	return err
}

// purge deletes from the stream what the archive holds; without an archive, all there is.
func (a *archivist) purge(ctx context.Context, l store.Log) error {
	stream, err := a.js.Stream(ctx, bus.LogsStream)
	if err != nil {
		return fmt.Errorf("%w: open the logs: %w", build.ErrUnavailable, err)
	}
	opts := []jetstream.StreamPurgeOpt{jetstream.WithPurgeSubject(bus.LogSubjectsOf(l.BuildID))}
	if l.ThroughSeq > 0 {
		opts = append(opts, jetstream.WithPurgeSequence(l.ThroughSeq+1))
	} else if l.ObjectID != "" {
		return nil // an archive from elsewhere: what is in the stream is not in it
	}
	if err := stream.Purge(ctx, opts...); err != nil {
		return fmt.Errorf("%w: delete log lines of %s: %w", build.ErrUnavailable, l.BuildID, err)
	}
	return a.s.logFault("purged")
}

// sweepUntil looks for lines that no event leads to: of a build whose end was not heard, and those that came late.
func (a *archivist) sweepUntil(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := a.sweep(ctx); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "stray logs are not known", "err", err)
		}
		wait(ctx, a.s.cfg.LogSweep)
	}
	return nil
}

func (a *archivist) sweep(ctx context.Context) error {
	if keep := a.s.cfg.LogRetention; keep > 0 {
		if _, err := a.s.rows.Overage(ctx, a.s.now().Add(-keep), a.s.now()); err != nil {
			return err
		}
	}
	stream, err := a.js.Stream(ctx, bus.LogsStream)
	if err != nil {
		return fmt.Errorf("%w: open the logs: %w", build.ErrUnavailable, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(bus.LogSubjectsOf("*")))
	if err != nil {
		return fmt.Errorf("%w: list the logs: %w", build.ErrUnavailable, err)
	}
	seen := map[string]bool{}
	for subject := range info.State.Subjects {
		_, id, _, err := bus.ParseLog(subject)
		if err != nil || seen[id] {
			continue
		}
		seen[id] = true
		if err := a.stray(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// stray has a build's log looked at if it has ended and nobody is going to.
func (a *archivist) stray(ctx context.Context, id string) error {
	l, err := a.s.rows.Log(ctx, id)
	now := a.s.now()
	switch {
	case err == nil && !l.ExpiredAt.IsZero():
		return a.purge(ctx, store.Log{BuildID: id})
	case err == nil && !l.DueAt.IsZero() && l.DueAt.Before(now.Add(a.s.logLease+a.s.cfg.LogGrace)):
		return nil // under way
	case err == nil:
		return a.next(ctx, l, now)
	case !isMissing(err):
		return err
	}
	b, err := a.s.askBuild(ctx, id)
	if errors.Is(err, build.ErrNotFound) || err == nil && !build.State(b.GetState()).Final() {
		return nil // it goes on, or nobody knows it: then its lines go by their age
	}
	if err != nil {
		return err
	}
	return a.note(ctx, id, time.UnixMilli(b.GetFinishedAtMs()))
}

// askBuild asks the scheduler, the owner of builds.
func (s *Service) askBuild(ctx context.Context, id string) (*schedulerv1.Build, error) {
	resp, err := s.askScheduler(ctx, &schedulerv1.GetRequest{BuildId: id, Brief: true})
	return resp.GetBuild(), err
}

// askAttempts asks for a build with its attempts.
func (s *Service) askAttempts(ctx context.Context, id string) (*schedulerv1.GetResponse, error) {
	return s.askScheduler(ctx, &schedulerv1.GetRequest{BuildId: id})
}

// scheduler bounds each request by rpc.DefaultTimeout.
func (s *Service) scheduler() schedulerv1.SchedulerServiceClient {
	return schedulerv1.NewSchedulerServiceClient(rpc.Client{Conn: s.conn, Timeout: rpc.DefaultTimeout})
}

func (s *Service) askScheduler(ctx context.Context, req *schedulerv1.GetRequest) (*schedulerv1.GetResponse, error) {
	resp, err := s.scheduler().Get(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("ask about build %s: %w", req.GetBuildId(), err)
	}
	return resp, nil
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
