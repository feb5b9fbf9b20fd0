package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// errEnded is how a stream says that the build has ended and everything was sent.
var errEnded = errors.New("the log has ended")

// FollowLog gives every line of a build's log to f once, those that are there and those that come, until the build has
// ended, and returns the build then. A broken connection is taken up after the last line that came, for as long as
// Config.Patience. An error of f ends it.
func (c *Client) FollowLog(ctx context.Context, id string, f func(LogLine) error) (Build, error) {
	again := c.again()
	s := &stream{client: c, id: id, line: f, progress: again.progress}
	for {
		err := s.once(ctx)
		var own *consumerError
		switch {
		case errors.Is(err, errEnded):
			return s.build, nil
		case errors.As(err, &own):
			return s.build, own.err
		}
		if err := again.after(ctx, err); err != nil {
			return s.build, err
		}
	}
}

// consumerError: the receiver of the lines gave up.
type consumerError struct{ err error }

func (e *consumerError) Error() string { return e.err.Error() }
func (e *consumerError) Unwrap() error { return e.err }

// stream is a followed log over any number of connections.
type stream struct {
	client   *Client
	id       string
	line     func(LogLine) error
	progress func()
	lastID   string
	build    Build
}

func (s *stream) once(ctx context.Context) error {
	ctx, moved, stop := s.client.stall(ctx)
	defer stop()
	req, err := s.client.request(ctx, http.MethodGet, buildPath(s.id, "/logs"), nil)
	if err != nil {
		return err
	}
	s.client.authorize(req)
	req.Header.Set("Accept", "text/event-stream")
	if s.lastID != "" {
		req.Header.Set("Last-Event-ID", s.lastID)
	}
	resp, err := s.client.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return s.read(ctx, movingReader{resp.Body, func(int) { moved() }})
}

// maxEvent bounds one line of an event: a log line has at most 16 KiB, a build far less than this.
const maxEvent = 1 << 20

// read parses server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).
func (s *stream) read(ctx context.Context, body io.Reader) error {
	sc := bufio.NewScanner(body)
	sc.Buffer(nil, maxEvent)
	var e event
	for sc.Scan() {
		if sc.Text() != "" {
			e.add(sc.Text())
			continue
		}
		if err := s.dispatch(e); err != nil {
			return err
		}
		e = event{}
	}
	err := sc.Err()
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil:
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the log broke off: %w", err)
}

type event struct{ name, id, data string }

func (e *event) add(line string) {
	field, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "event":
		e.name = value
	case "id":
		e.id = value
	case "data":
		if e.data != "" {
			e.data += "\n"
		}
		e.data += value
	}
}

// dispatch acts on a whole event; names of a newer server are passed over.
func (s *stream) dispatch(e event) error {
	switch e.name {
	case "log":
		var l LogLine
		if err := json.Unmarshal([]byte(e.data), &l); err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		if err := s.line(l); err != nil {
			return &consumerError{err}
		}
		s.progress()
	case "end":
		if err := json.Unmarshal([]byte(e.data), &s.build); err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		return errEnded
	}
	if e.id != "" {
		s.lastID = e.id
	}
	return nil
}
