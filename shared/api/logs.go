package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/expo-free-agent/freeagent/shared/api/internal/sse"
)

// ReadLog calls f with each line that a build's log has now. An error of f ends it.
func (s *BuildsService) ReadLog(ctx context.Context, id string, f func(LogLine) error) error {
	accept := http.Header{"Accept": {"application/json"}}
	return s.conn.stream(ctx, buildPath(id, "/logs"), accept, func(ctx context.Context, _ *http.Response, body io.Reader) error {
		dec := json.NewDecoder(body)
		if _, err := dec.Token(); err != nil { // the opening bracket
			return s.brokenLog(ctx, err)
		}
		for dec.More() {
			var l LogLine
			if err := dec.Decode(&l); err != nil {
				return s.brokenLog(ctx, err)
			}
			if err := f(l); err != nil {
				return err
			}
		}
		if _, err := dec.Token(); err != nil { // the closing one: without it the log is not whole
			return s.brokenLog(ctx, err)
		}
		return nil
	})
}

func (s *BuildsService) brokenLog(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return s.conn.unreachable(ctx, err)
	}
	if err == io.EOF { //nolint:errorlint // a decoder returns it bare
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the log broke off: %w", err)
}

// FollowLog calls f once with each line of a build's log, those that are there and those that come, until the build has ended, and
// returns the build then. It resumes a broken connection after the last line that came, for as long as Config.RetryFor. An error of
// f ends it.
func (s *BuildsService) FollowLog(ctx context.Context, id string, f func(LogLine) error) (Build, error) {
	retrier := s.conn.newRetrier()
	l := &followedLog{conn: s.conn, id: id, line: f, progress: retrier.progress}
	for {
		err := l.connect(ctx)
		var own *consumerError
		switch {
		case errors.Is(err, errEnded):
			return l.build, nil
		case errors.As(err, &own):
			return l.build, own.err
		}
		if err := retrier.next(ctx, err); err != nil {
			return l.build, err
		}
	}
}

// errEnded: the build has ended and the server has sent the whole log.
var errEnded = errors.New("the log has ended")

// consumerError is an error of the function that gets the lines.
type consumerError struct{ err error }

func (e *consumerError) Error() string { return e.err.Error() }
func (e *consumerError) Unwrap() error { return e.err }

// followedLog is a log that is followed over any number of connections.
type followedLog struct {
	conn        *conn
	id          string
	line        func(LogLine) error
	progress    func()
	lastEventID string
	build       Build
}

// connect follows the log over one connection. It returns errEnded at the log's end.
func (l *followedLog) connect(ctx context.Context) error {
	header := http.Header{"Accept": {"text/event-stream"}}
	if l.lastEventID != "" {
		header.Set("Last-Event-ID", l.lastEventID)
	}
	return l.conn.stream(ctx, buildPath(l.id, "/logs"), header, func(ctx context.Context, _ *http.Response, body io.Reader) error {
		return l.read(ctx, sse.NewReader(body, maxEvent))
	})
}

// maxEvent bounds one line of an event: a log line has at most 16 KiB, a build far less than this.
const maxEvent = 1 << 20

func (l *followedLog) read(ctx context.Context, events *sse.Reader) error {
	for {
		e, err := events.Next()
		if err == nil {
			if err := l.handle(e); err != nil {
				return err
			}
			continue
		}
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case errors.Is(err, io.EOF):
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("the log broke off: %w", err)
	}
}

// handle ignores events that it does not know: a newer server may send them.
func (l *followedLog) handle(e sse.Event) error {
	switch e.Name {
	case "log":
		var line LogLine
		if err := json.Unmarshal([]byte(e.Data), &line); err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		if err := l.line(line); err != nil {
			return &consumerError{err}
		}
		l.progress()
	case "end":
		if err := json.Unmarshal([]byte(e.Data), &l.build); err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		return errEnded
	}
	if e.ID != "" {
		l.lastEventID = e.ID
	}
	return nil
}
