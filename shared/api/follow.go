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
	"time"
)

// errEnded is how a stream says that the build has ended and everything was sent.
var errEnded = errors.New("the log has ended")

// quietTimeout is more than two of the server's beats: a line that is quiet for longer is dead.
const quietTimeout = 45 * time.Second

// FollowLog gives every line of a build's log to f, those that are there and those that come, until the build has ended,
// and returns the build then. A broken connection is taken up where it broke, for as long as the server answers within
// five tries. An error of f ends it.
func (c *Client) FollowLog(ctx context.Context, id string, f func(LogLine) error) (Build, error) {
	s := &stream{client: c, id: id, line: f}
	for try := 1; ; try++ {
		before := s.lastID
		err := s.once(ctx)
		switch {
		case errors.Is(err, errEnded):
			return s.build, nil
		case errors.Is(err, errConsumer):
			return s.build, err
		}
		if s.lastID != before {
			try = 1
		}
		if try >= transferTries || !worthAnotherTry(ctx, err) {
			return s.build, err
		}
		if err := pause(ctx, try); err != nil {
			return s.build, err
		}
	}
}

// errConsumer: the receiver of the lines gave up.
var errConsumer = errors.New("log not taken")

type stream struct {
	client *Client
	id     string
	line   func(LogLine) error
	lastID string
	build  Build
}

func (s *stream) once(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(quietTimeout, func() { cancel(ErrStalled) })
	defer quiet.Stop()
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
	return s.read(resp.Body, func() { quiet.Reset(quietTimeout) })
}

// maxEvent bounds one event: a log line has at most 16 KiB.
const maxEvent = 1 << 20

// read parses server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).
func (s *stream) read(body io.Reader, alive func()) error {
	sc := bufio.NewScanner(body)
	sc.Buffer(nil, maxEvent)
	var event, id, data string
	for sc.Scan() {
		alive()
		field, value, _ := strings.Cut(sc.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case sc.Text() == "":
			if err := s.dispatch(event, data); err != nil {
				return err
			}
			if id != "" {
				s.lastID = id
			}
			event, id, data = "", "", ""
		case field == "event":
			event = value
		case field == "id":
			id = value
		case field == "data":
			data += value
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	return fmt.Errorf("read the log: %w", io.ErrUnexpectedEOF)
}

func (s *stream) dispatch(event, data string) error {
	switch event {
	case "log":
		var l LogLine
		if err := json.Unmarshal([]byte(data), &l); err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		if err := s.line(l); err != nil {
			return fmt.Errorf("%w: %w", errConsumer, err)
		}
	case "end":
		if err := json.Unmarshal([]byte(data), &s.build); err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		return errEnded
	}
	return nil
}
