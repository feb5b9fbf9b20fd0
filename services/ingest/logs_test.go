package ingest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

func TestLogsWhole(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	other, _ := f.submit()
	if r := f.get("/api/builds/"+id+"/logs").want(t, 200); string(r.body) != `{"build_id":"`+id+`","logs":[]}`+"\n" {
		t.Errorf("an empty log = %s", r.body)
	}
	if r := f.get(api.Path+"/builds/"+id+"/logs").want(t, 200); string(r.body) != "[]\n" {
		t.Errorf("an empty log = %s", r.body)
	}
	f.get("/api/builds/nonexistent/logs").want(t, 404, "Build not found")

	f.say(id, false, "Build submitted")
	f.say(other, false, "of another build")
	f.say(id, false, "two", `"three"`)
	const line = `{"timestamp":1700000000000,"level":"info","message":`
	want := `{"build_id":"` + id + `","logs":[` + line + `"Build submitted"},` + line + `"two"},` + line + `"\"three\""}]}` + "\n"
	if r := f.get("/api/builds/"+id+"/logs").want(t, 200); string(r.body) != want {
		t.Errorf("v1 = %s, want %s", r.body, want)
	}
	var lines []api.LogLine
	if err := json.Unmarshal(f.get(api.Path+"/builds/"+id+"/logs").want(t, 200).body, &lines); err != nil {
		t.Fatal(err)
	}
	if len(lines) != 3 || lines[2] != (api.LogLine{Line: 3, At: "2023-11-14T22:13:20.000Z", Level: "info", Attempt: 1, Text: `"three"`}) {
		t.Errorf("v2 = %+v", lines)
	}
}

// TestLogsGrow: more messages than a reader has in its buffer, in order, and never a window of
// them.
func TestLogsGrow(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	f.scheduler.claim(id, "w1", 1)
	const n = 300
	for i := range n {
		f.say(id, false, fmt.Sprintf("a %d", i), fmt.Sprintf("b %d", i))
	}
	if _, err := f.js.Publish(t.Context(), bus.LogSubject("w1", id, 1), []byte("\xff not protobuf")); err != nil {
		t.Fatal(err)
	}
	var lines []api.LogLine
	if err := json.Unmarshal(f.get(api.Path+"/builds/"+id+"/logs").want(t, 200).body, &lines); err != nil {
		t.Fatal(err)
	}
	if len(lines) != 2*n+1 || lines[2*n].Text != "(unreadable log lines)" {
		t.Fatalf("%d lines, the last %+v", len(lines), lines[len(lines)-1])
	}
	for i := range n {
		if lines[2*i].Text != fmt.Sprintf("a %d", i) || lines[2*i+1].Text != fmt.Sprintf("b %d", i) {
			t.Fatalf("line %d = %q", 2*i, lines[2*i].Text)
		}
	}
	f.noReaders()
}

// noReaders checks that no consumer is left on the bus.
func (f *farm) noReaders() {
	f.t.Helper()
	eventually(f.t, "no consumer is left on the logs", func() bool {
		s, err := f.js.Stream(f.t.Context(), bus.LogsStream)
		if err != nil {
			f.t.Fatal(err)
		}
		return s.CachedInfo().State.Consumers == 0
	})
}

// event is one server-sent event; a comment has only data.
type event struct{ name, id, data string }

// follower reads a followed log.
type follower struct {
	t    testing.TB
	resp *http.Response
	sc   *bufio.Scanner
	stop context.CancelFunc
}

func (f *farm) follow(id, lastEventID string) *follower {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	h := withKey()
	h["Accept"] = "text/event-stream"
	if lastEventID != "" {
		h["Last-Event-ID"] = lastEventID
	}
	resp, err := http.DefaultClient.Do(f.request("GET", api.Path+"/builds/"+id+"/logs", nil, h).WithContext(ctx))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { cancel(); resp.Body.Close() })
	return &follower{f.t, resp, bufio.NewScanner(resp.Body), cancel}
}

// next returns the next event; ok is false at the end of the stream.
func (l *follower) next() (e event, ok bool) {
	l.t.Helper()
	for l.sc.Scan() {
		field, value, _ := strings.Cut(l.sc.Text(), ": ")
		switch field {
		case "":
			if l.sc.Text() == "" {
				return e, true
			}
			e.data = value // a comment
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		}
	}
	return event{}, false
}

// line waits for a line of the log, past signs of life.
func (l *follower) line() (id, text string) {
	l.t.Helper()
	for {
		e, ok := l.next()
		if !ok {
			l.t.Fatalf("the stream ended: %v", l.sc.Err())
		}
		if e.name == "end" {
			return "", "end"
		}
		if e.name == "log" {
			var line api.LogLine
			if err := json.Unmarshal([]byte(e.data), &line); err != nil {
				l.t.Fatal(err)
			}
			return e.id, line.Text
		}
	}
}

func (l *follower) lines(n int) (ids, texts []string) {
	l.t.Helper()
	for range n {
		id, text := l.line()
		ids, texts = append(ids, id), append(texts, text)
	}
	return ids, texts
}

func TestFollowLiveToTheEnd(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	f.say(id, false, "one", "two")
	l := f.follow(id, "")
	if got := l.resp.Header.Get("Content-Type"); got != "text/event-stream" || l.resp.StatusCode != http.StatusOK {
		t.Fatalf("answer = %d %s", l.resp.StatusCode, got)
	}
	ids, texts := l.lines(2)
	f.say(id, false, "three") // live: only said when the first two have arrived
	more, moreTexts := l.lines(1)
	ids, texts = append(ids, more...), append(texts, moreTexts...)
	if diff := cmp.Diff([]string{"1", "2", "3"}, ids); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"one", "two", "three"}, texts); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	f.scheduler.set(id, func(b *schedulerv1.Build) { b.State = "completed" })
	f.say(id, true, "Build completed successfully")
	if _, text := l.line(); text != "Build completed successfully" {
		t.Errorf("line = %q", text)
	}
	e, _ := l.next()
	var b api.Build
	if err := json.Unmarshal([]byte(e.data), &b); err != nil || e.name != "end" || b.ID != id || b.Status != "completed" {
		t.Errorf("end = %+v, %v", e, err)
	}
	if e, ok := l.next(); ok || l.sc.Err() != nil {
		t.Errorf("after the end: %+v, %v", e, l.sc.Err())
	}
	f.noReaders()
}

func TestFollowResumes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	other, _ := f.submit()
	f.say(id, false, "one", "two", "three")
	f.say(other, false, "of another")
	f.say(id, false, "four")
	f.scheduler.set(id, func(b *schedulerv1.Build) { b.State = "failed" })
	f.say(id, true, "five")
	f.say(id, false, "Retried as build x")
	all := []string{"one", "two", "three", "four", "five", "Retried as build x", "end"}
	for last, from := range map[string]int{
		"": 0, "1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6,
		"nonsense": 0, "0": 0, "-1": 0, "1.0": 0, "18446744073709551615": 0,
		"8": 0, "99": 0, // of a stream that is no more
	} {
		_, got := f.follow(id, last).lines(len(all) - from)
		if diff := cmp.Diff(all[from:], got); diff != "" {
			t.Errorf("from %q (-want +got):\n%s", last, diff)
		}
	}
}

// TestFollowAliveWhileQuiet: signs of life, and an end even if the message that says so never came.
func TestFollowAliveWhileQuiet(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *ingest.Config) { c.FollowHeartbeat = 20 * time.Millisecond })
	id, _ := f.submit()
	l := f.follow(id, "")
	for beats := 0; beats < 3; {
		e, ok := l.next()
		if !ok {
			t.Fatal("the stream ended")
		}
		if e.data == "still here" {
			beats++
		}
	}
	f.scheduler.set(id, func(b *schedulerv1.Build) { b.State = "cancelled" })
	if _, text := l.line(); text != "end" {
		t.Errorf("line = %q, want the end", text)
	}
}

func TestFollowersAreBounded(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *ingest.Config) { c.MaxFollowers = 1 })
	id, _ := f.submit()
	f.say(id, false, "one")
	first := f.follow(id, "")
	first.lines(1)
	second := f.follow(id, "")
	body, err := io.ReadAll(second.resp.Body)
	if err != nil || second.resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "too_many_followers") || second.resp.Header.Get("Retry-After") == "" {
		t.Errorf("the second = %d %s, %v", second.resp.StatusCode, body, err)
	}
	first.stop()
	eventually(t, "the place is free again", func() bool { return f.follow(id, "").resp.StatusCode == http.StatusOK })
}

// TestStopEndsFollowers: the server can stop although somebody follows a build that goes on.
func TestStopEndsFollowers(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	f.say(id, false, "one")
	l := f.follow(id, "")
	l.lines(1)
	stopped := make(chan struct{})
	go func() { f.stop(); close(stopped) }()
	if e, ok := l.next(); ok {
		t.Errorf("event %+v", e)
	}
	<-stopped
}

// TestFollowAcrossARestartOfTheBus: what is said afterwards still arrives, each line once.
func TestFollowAcrossARestartOfTheBus(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	f.say(id, false, "before")
	l := f.follow(id, "")
	at, _ := l.line()
	f.bus.Restart()
	eventually(t, "the bus takes a line", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := f.js.Stream(ctx, bus.LogsStream)
		return err == nil
	})
	f.say(id, false, "after")
	for {
		e, ok := l.next()
		if !ok { // cut: the client resumes where it was
			l = f.follow(id, at)
			continue
		}
		if e.name == "log" {
			if !strings.Contains(e.data, "after") {
				t.Errorf("event = %+v, want the line said after", e)
			}
			return
		}
	}
}
