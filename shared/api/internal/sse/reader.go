package sse

import (
	"bufio"
	"io"
	"strings"
)

// Event is one event. Name and ID are empty if the server sent none.
type Event struct{ Name, ID, Data string }

// Reader reads events from a stream.
type Reader struct{ lines *bufio.Scanner }

// NewReader returns a reader that refuses lines longer than maxLine bytes.
func NewReader(r io.Reader, maxLine int) *Reader {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	return &Reader{lines}
}

// Next returns the next whole event, or the reason why the stream ended: io.EOF if it ended where no event was cut.
func (r *Reader) Next() (e Event, err error) {
	for r.lines.Scan() {
		line := r.lines.Text()
		if line == "" {
			return e, nil
		}
		e.add(line)
	}
	if err = r.lines.Err(); err == nil {
		err = io.EOF
	}
	return Event{}, err
}

func (e *Event) add(line string) {
	field, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "event":
		e.Name = value
	case "id":
		e.ID = value
	case "data":
		if e.Data != "" {
			e.Data += "\n"
		}
		e.Data += value
	}
}
