package logs

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
	"github.com/expo-free-agent/freeagent/services/artifact/internal/catalog"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/build"
	logstream "github.com/expo-free-agent/freeagent/shared/buildlog/stream"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/lifecycle"
)

const (
	// batch is how many due logs are read at once.
	batch = 100
	// copyTimeout bounds the copying of one log.
	copyTimeout = 10 * time.Minute
)

// Config of an archivist.
type Config struct {
	// Settle is how long the last lines of a build may take after its end, before its log is archived.
	Settle time.Duration
	// Grace is how long lines stay in the stream after they were archived.
	Grace time.Duration
	// Retention is how long after a build's end its log is kept; 0: for ever.
	Retention time.Duration
	// Sweep is how often lines are looked for that no event led to.
	Sweep time.Duration
	// Lease is how long after a crash a log that was being archived is tried again.
	Lease time.Duration
	// Retry is the pause after a failure.
	Retry time.Duration
	// Turn is how often due logs are read.
	Turn time.Duration
	// Parallel is how many logs are archived at once.
	Parallel int
	// Fault is called after each step, and breaks it off by an error; nil: none. Tests set it.
	Fault func(step string) error
}

func (c Config) fault(step string) error {
	if c.Fault == nil {
		return nil
	}
	return c.Fault(step)
}

// Deps are what an archivist works with.
type Deps struct {
	Catalog   *catalog.Catalog
	Logs      *store.Logs
	JetStream jetstream.JetStream
	Scheduler schedulerv1.SchedulerServiceClient
	Log       *slog.Logger
}

// Archivist moves the logs of builds that have ended from the stream into one object each.
//
//	build ends --(Settle)--> copied, archive known --(Grace)--> deleted from the stream --(Retention)--> removed
//
// Every step may be repeated: a row says when its build's log is due, and the stream and the row say what is left to do. So a crash
// costs time only.
type Archivist struct {
	cfg       Config
	catalog   *catalog.Catalog
	logs      *store.Logs
	js        jetstream.JetStream
	scheduler schedulerv1.SchedulerServiceClient
	authors   *logstream.Authors
	log       *slog.Logger
}

// New returns an archivist.
func New(cfg Config, d Deps) *Archivist {
	a := &Archivist{cfg: cfg, catalog: d.Catalog, logs: d.Logs, js: d.JetStream, scheduler: d.Scheduler, log: d.Log}
	a.authors = logstream.NewAuthors(a.buildWithAttempts)
	return a
}

// Run works until ctx ends.
func (a *Archivist) Run(ctx context.Context) error {
	g := lifecycle.New(a.log)
	g.Go("ends of builds", a.consumeEnds)
	for range a.cfg.Parallel {
		g.Go("logs", a.archiveLoop)
	}
	g.Go("stray logs", a.sweepLoop)
	return g.Run(ctx)
}

// consumeEnds records each build that ends. The scheduler makes the stream, perhaps later than we start.
func (a *Archivist) consumeEnds(ctx context.Context) error {
	c := bus.Consumer{
		Stream: bus.EventsStream, Durable: "artifact-logs", Parallel: 8,
		Filters: []string{bus.BuildSubjects(bus.Completed), bus.BuildSubjects(bus.Failed), bus.BuildSubjects(bus.Cancelled)},
	}
	return bus.ConsumeLoop(ctx, a.log, func() error { return bus.Consume(ctx, a.js, c, a.consumeEnd, a.log) })
}

func (a *Archivist) consumeEnd(ctx context.Context, m jetstream.Msg) error {
	id, event, err := bus.ParseEvent(m.Subject())
	if err != nil {
		return fmt.Errorf("%w: %w", bus.ErrDrop, err)
	}
	ended, err := endOf(event, m.Data())
	if err != nil {
		return fmt.Errorf("%w: %w", bus.ErrDrop, err)
	}
	return a.noteEnded(ctx, id, ended)
}

// noteEnded makes the log of a build due when Config.Settle has passed since its end.
func (a *Archivist) noteEnded(ctx context.Context, id string, ended time.Time) error {
	if ended.UnixMilli() <= 0 { // the event has no time
		ended = time.Now()
	}
	return a.logs.NoteEnded(ctx, id, ended, ended.Add(a.cfg.Settle))
}

// endOf returns the time in the three events that end a build.
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

// archiveLoop handles one due log after the other.
func (a *Archivist) archiveLoop(ctx context.Context) error {
	for ctx.Err() == nil {
		due, err := a.logs.DueLogs(ctx, time.Now(), batch)
		if err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "list due logs failed", "err", err)
		}
		for _, l := range due {
			if ctx.Err() == nil {
				a.tryStep(ctx, l)
			}
		}
		if len(due) < batch {
			_ = backoff.Sleep(ctx, a.cfg.Turn)
		}
	}
	return nil
}

// tryStep does the next step for one log, unless another replica does.
func (a *Archivist) tryStep(ctx context.Context, l store.Log) {
	lease := time.Now().Add(a.cfg.Lease).Truncate(time.Millisecond)
	won, err := a.logs.Postpone(ctx, l, lease)
	if err == nil && won {
		l.DueAt = lease
		l, err = a.step(ctx, l)
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	a.log.WarnContext(ctx, "archive log failed", "build_id", l.BuildID, "err", err)
	if _, err := a.logs.Postpone(ctx, l, time.Now().Add(a.cfg.Retry)); err != nil {
		a.log.WarnContext(ctx, "release log failed; it is tried again after its lease", "build_id", l.BuildID, "err", err)
	}
}

// step does the next step for one log, and returns its row as it is then.
func (a *Archivist) step(ctx context.Context, l store.Log) (store.Log, error) {
	if until := a.keptUntil(l); !until.IsZero() && !time.Now().Before(until) && l.ObjectID != "" {
		return l, a.remove(ctx, l)
	}
	release := a.renewLease(ctx, l)
	copied, through, err := a.copyNew(ctx, l)
	l.DueAt = release()
	if err != nil || copied {
		return l, err
	}
	l.ThroughSeq = through // what was read and is not in the archive is purged with it
	return l, a.purgeArchived(ctx, l)
}

// purgeArchived deletes archived lines from the stream when Config.Grace has passed.
func (a *Archivist) purgeArchived(ctx context.Context, l store.Log) error {
	if purge := l.ArchivedAt.Add(a.cfg.Grace); time.Now().Before(purge) {
		return a.postpone(ctx, l, purge)
	}
	if err := a.purge(ctx, l); err != nil {
		return err
	}
	if l.ObjectID == "" {
		return a.postpone(ctx, l, time.Time{})
	}
	return a.postpone(ctx, l, a.keptUntil(l))
}

// renewLease renews the lease of a log until release is called, which returns the last one. So a crash costs one lease, however long
// a copy takes. If another replica takes the log all the same, the first archive that is saved counts.
func (a *Archivist) renewLease(ctx context.Context, l store.Log) (release func() time.Time) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if backoff.Sleep(ctx, a.cfg.Lease/3) != nil {
				return
			}
			lease := time.Now().Add(a.cfg.Lease).Truncate(time.Millisecond)
			// It has its own timeout, and its outcome must be known.
			switch won, err := a.logs.Postpone(context.WithoutCancel(ctx), l, lease); {
			case err != nil:
				a.log.WarnContext(ctx, "renew lease of log failed", "build_id", l.BuildID, "err", err)
			case won:
				l.DueAt = lease
			default:
				return
			}
		}
	}()
	return func() time.Time { cancel(); <-ended; return l.DueAt }
}

func (a *Archivist) postpone(ctx context.Context, l store.Log, due time.Time) error {
	_, err := a.logs.Postpone(ctx, l, due) // false: another replica was later
	return err
}

// remove deletes a log whose retention has passed, with the lines that came late to the stream.
func (a *Archivist) remove(ctx context.Context, l store.Log) error {
	if err := a.Purge(ctx, l.BuildID); err != nil {
		return err
	}
	won, err := a.logs.RemoveArchive(ctx, l, time.Now())
	if won {
		a.log.InfoContext(ctx, "log expired", "build_id", l.BuildID, "lines", l.Lines, "ended", l.EndedAt)
	}
	return err
}

// Purge deletes all lines of a build from the stream.
func (a *Archivist) Purge(ctx context.Context, buildID string) error {
	return a.purge(ctx, store.Log{BuildID: buildID})
}

// purge deletes from the stream what the archive holds; without an archive, all lines.
func (a *Archivist) purge(ctx context.Context, l store.Log) error {
	stream, err := a.js.Stream(ctx, bus.LogsStream)
	if err != nil {
		return fmt.Errorf("%w: open the logs: %w", build.ErrUnavailable, err)
	}
	opts := []jetstream.StreamPurgeOpt{jetstream.WithPurgeSubject(bus.LogSubjectsOf(l.BuildID))}
	if l.ThroughSeq > 0 {
		opts = append(opts, jetstream.WithPurgeSequence(l.ThroughSeq+1))
	} else if l.ObjectID != "" {
		return nil // an imported archive: it has no lines of the stream
	}
	if err := stream.Purge(ctx, opts...); err != nil {
		return fmt.Errorf("%w: delete log lines of %s: %w", build.ErrUnavailable, l.BuildID, err)
	}
	return a.cfg.fault("purged")
}

// sweepLoop looks for lines that no event led to: of a build whose event was lost, and late ones.
func (a *Archivist) sweepLoop(ctx context.Context) error {
	return backoff.Loop{Doing: "sweep stray logs", Every: a.cfg.Sweep, AtOnce: true, Log: a.log}.Run(ctx, a.sweep)
}

func (a *Archivist) sweep(ctx context.Context) error {
	if keep := a.cfg.Retention; keep > 0 {
		if _, err := a.logs.ScheduleOld(ctx, time.Now().Add(-keep), time.Now()); err != nil {
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
		if err := a.scheduleStray(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// scheduleStray makes the log of a build due if the build has ended and the log is not due.
func (a *Archivist) scheduleStray(ctx context.Context, id string) error {
	l, err := a.logs.Log(ctx, id)
	now := time.Now()
	switch {
	case err == nil && !l.ExpiredAt.IsZero():
		return a.Purge(ctx, id)
	case err == nil && !l.DueAt.IsZero() && l.DueAt.Before(now.Add(a.cfg.Lease+a.cfg.Grace)):
		return nil // under way
	case err == nil:
		return a.postpone(ctx, l, now)
	case !catalog.IsMissing(err):
		return err
	}
	b, err := a.build(ctx, id)
	if errors.Is(err, build.ErrNotFound) || err == nil && !build.State(b.GetState()).Final() {
		return nil // it runs, or nobody knows it: then the stream drops its lines by age
	}
	if err != nil {
		return err
	}
	return a.noteEnded(ctx, id, time.UnixMilli(b.GetFinishedAtMs()))
}

// build asks the scheduler for a build, without its attempts.
func (a *Archivist) build(ctx context.Context, id string) (*schedulerv1.Build, error) {
	resp, err := a.scheduler.Get(ctx, &schedulerv1.GetRequest{BuildId: id, Brief: true})
	if err != nil {
		return nil, fmt.Errorf("ask about build %s: %w", id, err)
	}
	return resp.GetBuild(), nil
}

func (a *Archivist) buildWithAttempts(ctx context.Context, id string) (*schedulerv1.GetResponse, error) {
	resp, err := a.scheduler.Get(ctx, &schedulerv1.GetRequest{BuildId: id})
	if err != nil {
		return nil, fmt.Errorf("ask about build %s: %w", id, err)
	}
	return resp, nil
}
