package sse

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReader(t *testing.T) {
	t.Parallel()
	const text = ": hello\n\nevent: log\nid: 7\ndata: one\ndata:two\n\ndata: x\nunknown: y\n\nevent: cut\n"
	r := NewReader(strings.NewReader(text), 1<<10)
	var got []Event
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	want := []Event{{}, {Name: "log", ID: "7", Data: "one\ntwo"}, {Data: "x"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestReaderRefusesLongLines(t *testing.T) {
	t.Parallel()
	if e, err := NewReader(strings.NewReader("data: "+strings.Repeat("x", 100)+"\n\n"), 64).Next(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("Next = %v, %v, want an error", e, err)
	}
}
