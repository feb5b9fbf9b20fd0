package logs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
	logstream "github.com/expo-free-agent/freeagent/shared/buildlog/stream"
)

// Line is one line of a log.
type Line = logarchive.Line

// Reader reads logs. It is safe for concurrent use.
type Reader struct {
	js          jetstream.JetStream
	authors     *logstream.Authors
	index       index
	findArchive func(ctx context.Context, id string) (*artifactv1.LogResponse, error)
	archive     func(ctx context.Context, o *eventsv1.ObjectRef) (*logarchive.Reader, error)
	// archiveCheckInterval is how long the answer that a log has no archive is valid.
	archiveCheckInterval time.Duration
}

// NewReader returns a reader of the log stream that accepts only lines of the build's authors.
// where looks up the archive of a build's log, source opens an object.
func NewReader(
	js jetstream.JetStream,
	authors *logstream.Authors,
	findArchive func(ctx context.Context, id string) (*artifactv1.LogResponse, error),
	source func(o *eventsv1.ObjectRef) logarchive.Source,
) (*Reader, error) {
	archives, err := newArchiveCache(source)
	if err != nil {
		return nil, err
	}
	return &Reader{js: js, authors: authors, findArchive: findArchive, archive: archives.get, archiveCheckInterval: logstream.Grace / 2}, nil
}

// Checkpoint is a position in the stream with the numbering of the lines behind it. Clone the
// numbering before use.
type Checkpoint struct {
	seq     uint64
	numbers *logstream.Numbering
}

// Request says which lines to read.
type Request struct {
	BuildID string
	// From is the first line, at least 1. To is the last line, 0 for the end.
	From, To int64
	// Ended means that the build may have ended. Otherwise its log has no archive yet.
	Ended bool
	// Near is a checkpoint before From, if one is known.
	Near *Checkpoint
}

// Read calls f with the requested lines in order and returns the number of the last line it read.
// It returns errors of f, except logarchive.ErrStop, which ends it without an error.
func (b *Reader) Read(ctx context.Context, r Request, f func([]Line) error) (last int64, err error) {
	p := &reading{reader: b, Request: r, f: f}
	for {
		again, err := p.once(ctx)
		switch {
		case errors.Is(err, logarchive.ErrStop), errors.Is(err, errStopped):
			return p.last, nil
		case err != nil:
			return p.last, err
		case !again:
			return p.last, nil
		}
	}
}

// reading is one Read.
type reading struct {
	Request

	reader *Reader
	f      func([]Line) error
	last   int64
	// asked is when the archive was last looked up, object its id then.
	asked  time.Time
	object string
	// archived means that the log has left the stream, so checkpoints are useless.
	archived bool
}

// once reads archive and stream. again reports that the log has been archived in the meantime, so
// the rest must be read from there.
func (p *reading) once(ctx context.Context) (again bool, err error) {
	from, err := p.begin(ctx)
	if err != nil {
		return false, err
	}
	if p.To > 0 && p.To <= p.last { // all of it was in the archive
		return false, nil
	}
	if from, err = p.jump(ctx, from); err == nil {
		p.last = max(p.last, from.numbers.Lines())
		err = p.read(ctx, from)
	}
	if errors.Is(err, errMoved) {
		return true, nil
	}
	return false, err
}

// read reads the stream behind a checkpoint.
func (p *reading) read(ctx context.Context, from Checkpoint) error {
	tail, err := logstream.Open(ctx, p.reader.js, p.reader.authors, p.BuildID, from.seq)
	if err != nil {
		return err
	}
	defer tail.Close(ctx)
	numbers, n := from.numbers.Clone(), checkpointRecorder{last: from.numbers.Lines()}
	defer p.saveCheckpoints(ctx, &n)
	return tail.Backlog(ctx, func(c logstream.Chunk) error {
		switch moved, err := p.moved(ctx); {
		case err != nil:
			return err
		case moved:
			return errMoved
		}
		n.record(c.Seq-1, numbers)
		return p.emit(numbers.Add(c))
	})
}

var (
	// errMoved means that the log has been archived in the meantime.
	errMoved = errors.New("the log has moved")
	// errStopped stands for logarchive.ErrStop while an archive's reader, which handles ErrStop
	// itself, returns it.
	errStopped = errors.New("enough lines")
)

// begin reads the archive and returns the checkpoint behind it in the stream.
func (p *reading) begin(ctx context.Context) (none Checkpoint, err error) {
	resp := &artifactv1.LogResponse{}
	p.asked = time.Now()
	if p.Ended {
		if resp, err = p.reader.findArchive(ctx, p.BuildID); err != nil {
			return none, fmt.Errorf("ask for the archived log of %s: %w", p.BuildID, err)
		}
	}
	p.object = resp.GetObject().GetObjectId()
	if p.archived = p.object != "" || resp.GetRemovedAtMs() > 0; p.archived {
		p.reader.index.forget(p.BuildID)
	}
	if p.object == "" {
		return p.withoutArchive(resp)
	}
	r, err := p.reader.archive(ctx, resp.GetObject())
	if err != nil {
		return none, fmt.Errorf("open the archived log of %s: %w", p.BuildID, err)
	}
	if err := r.Read(ctx, p.From, p.To, p.emitOne()); err != nil {
		return none, fmt.Errorf("read the archived log of %s: %w", p.BuildID, err)
	}
	p.last = max(p.last, r.Lines())
	return Checkpoint{resp.GetThroughSeq(), logstream.NewNumbering(r.Lines(), r.Marks())}, nil
}

func (p *reading) withoutArchive(resp *artifactv1.LogResponse) (Checkpoint, error) {
	if at := resp.GetRemovedAtMs(); at > 0 {
		text := "(the log of this build was removed " + time.UnixMilli(at).UTC().Format("on 2 January 2006") + ", when its time was over)"
		gone := []Line{{Number: 1, AtMs: at, Level: "warn", Text: text}}
		return Checkpoint{0, logstream.NewNumbering(1, nil)}, p.emit(gone)
	}
	if p.Near != nil {
		return *p.Near, nil
	}
	return Checkpoint{0, logstream.NewNumbering(0, nil)}, nil
}

// moved reports whether the log has been archived since the last lookup. It looks again only if
// that is so old that unread lines may have been deleted from the stream.
func (p *reading) moved(ctx context.Context) (bool, error) {
	now := time.Now()
	if now.Sub(p.asked) < p.reader.archiveCheckInterval {
		return false, nil
	}
	resp, err := p.reader.findArchive(ctx, p.BuildID)
	if err != nil {
		return false, fmt.Errorf("ask for the archived log of %s: %w", p.BuildID, err)
	}
	if resp.GetObject().GetObjectId() == p.object {
		p.asked = now
		return false, nil
	}
	p.Ended, p.Near = true, nil
	return true, nil
}

// emit passes the requested ones of some lines to f.
func (p *reading) emit(lines []Line) error {
	if len(lines) == 0 {
		return nil
	}
	for len(lines) > 0 && lines[0].Number < p.From {
		p.last = max(p.last, lines[0].Number)
		lines = lines[1:]
	}
	n := len(lines)
	for n > 0 && p.To > 0 && lines[n-1].Number > p.To {
		n--
	}
	if n == 0 {
		return p.stopIfPast(len(lines))
	}
	if err := p.f(lines[:n]); err != nil {
		return err
	}
	p.last = lines[n-1].Number
	p.From = p.last + 1
	return p.stopIfPast(len(lines) - n)
}

// stopIfPast returns logarchive.ErrStop if lines beyond the requested end remain.
func (p *reading) stopIfPast(left int) error {
	if left > 0 && p.To > 0 {
		return logarchive.ErrStop
	}
	return nil
}

// emitOne returns emit for the lines of an archive.
func (p *reading) emitOne() func(Line) error {
	one := make([]Line, 1)
	return func(l Line) error {
		one[0] = l
		if err := p.emit(one); errors.Is(err, logarchive.ErrStop) {
			return errStopped
		} else if err != nil {
			return err
		}
		return nil
	}
}
