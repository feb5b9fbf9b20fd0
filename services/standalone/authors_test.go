package standalone_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// intruder is a worker with credentials of its own, which says on the bus whatever it likes.
type intruder struct {
	f  *farm
	id string
	js jetstream.JetStream
}

func (f *farm) intruder() *intruder {
	f.t.Helper()
	joined, err := f.client().Workers.Join(f.t.Context(), api.JoinRequest{Name: "intruder", Platforms: []string{"ios"}})
	if err != nil {
		f.t.Fatal(err)
	}
	nc, err := bus.Connect(bus.Config{
		URL: joined.BusURL, Name: "intruder", User: joined.WorkerID, Password: joined.Secret, InboxPrefix: bus.InboxPrefix(joined.WorkerID),
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(nc.Close)
	js, err := bus.JetStream(nc)
	if err != nil {
		f.t.Fatal(err)
	}
	return &intruder{f, joined.WorkerID, js}
}

// say writes lines into a build's log, under its own name.
func (i *intruder) say(id string, attempt int32, first int64, last bool, texts ...string) {
	i.f.t.Helper()
	c := &eventsv1.LogChunk{BuildId: id, Attempt: attempt, FirstLine: first, Last: last}
	for _, text := range texts {
		c.Lines = append(c.Lines, &eventsv1.LogLine{AtMs: time.Now().UnixMilli(), Level: "error", Text: text})
	}
	m, err := bus.NewMessage(i.f.t.Context(), "intruder", bus.LogSubject(i.id, id, attempt), time.Now(), c)
	if err == nil {
		_, err = i.js.PublishMsg(i.f.t.Context(), m.NATS())
	}
	if err != nil {
		i.f.t.Fatalf("the bus lets a worker write under its own name: %v", err)
	}
}

// TestAnotherWorkersLinesAreNotShown: a second worker writes into a build that it does not hold, by a connection of its own, in
// every way that the bus lets it. Whoever reads, follows or searches sees the holder's lines and the control plane's.
func TestAnotherWorkersLinesAreNotShown(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	evil := f.intruder()
	holder := f.v1("android")
	id := f.submit()
	evil.say(id, 1, 1, false, "FORGED before the claim")
	if got := holder.poll(); got != id {
		t.Fatalf("poll = %q", got)
	}
	follow, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url()+"/api/v2/builds/"+id+"/logs", nil)
	if err != nil {
		t.Fatal(err)
	}
	follow.Header.Set("X-API-Key", farmKey)
	follow.Header.Set("Accept", "text/event-stream")
	followed := make(chan []string, 1)
	go func() {
		resp, err := http.DefaultClient.Do(follow)
		if err != nil {
			t.Error(err)
			followed <- nil
			return
		}
		defer resp.Body.Close()
		data, _ := io.ReadAll(resp.Body)
		followed <- eventTexts(string(data))
	}()
	var want []string
	for n := range 5 {
		line := fmt.Sprint("honest line ", n)
		if code := holder.post("/api/builds/"+id+"/logs", `{"logs":[{"level":"info","message":"`+line+`"}]}`); code != http.StatusOK {
			t.Fatalf("logs = %d", code)
		}
		want = append(want, line)
		evil.say(id, 1, int64(n+1), false, "FORGED line")
		evil.say(id, 1, 0, false, "FORGED line without a number")
		evil.say(id, int32(n+2), 1, true, "FORGED end of an attempt that is none")
	}
	m, err := bus.NewMessage(t.Context(), "intruder", bus.LogSubject(holder.id, id, 1), time.Now(), &eventsv1.LogChunk{})
	if err != nil {
		t.Fatal(err)
	}
	if err := evil.js.Conn().PublishMsg(m.NATS()); err != nil {
		t.Fatal(err)
	}
	if code := holder.upload(id, "true", "the app", true); code != http.StatusOK {
		t.Fatalf("upload = %d", code)
	}
	evil.say(id, 1, 1, false, "FORGED after the end")
	f.completedOnce(id)
	var read []string
	for i, l := range f.logOf(id) {
		if l.Line != int64(i+1) {
			t.Errorf("line %d has the number %d", i+1, l.Line)
		}
		read = append(read, l.Text)
	}
	if diff := cmp.Diff(want, honest(read)); diff != "" || strings.Contains(strings.Join(read, "\n"), "FORGED") {
		t.Errorf("read: -want +got\n%s\nall: %q", diff, read)
	}
	if diff := cmp.Diff(read, <-followed); diff != "" {
		t.Errorf("followed: -read +followed\n%s", diff)
	}
	for query, count := range map[string]int{"FORGED": 0, "honest": 5} {
		var found []api.LogLine
		holder.call(http.MethodGet, "/api/v2/builds/"+id+"/logs?q="+query, "", nil, &found)
		if len(found) != count {
			t.Errorf("search for %s = %+v, want %d", query, found, count)
		}
	}
}

func honest(all []string) (texts []string) {
	for _, text := range all {
		if strings.HasPrefix(text, "honest") {
			texts = append(texts, text)
		}
	}
	return texts
}

// eventTexts are the lines of a followed log.
func eventTexts(stream string) (texts []string) {
	for _, e := range strings.Split(stream, "\n\n") {
		_, data, ok := strings.Cut(e, "data: ")
		if !ok || !strings.HasPrefix(e, "event: log") {
			continue
		}
		var l api.LogLine
		if json.Unmarshal([]byte(data), &l) == nil {
			texts = append(texts, l.Text)
		}
	}
	return texts
}
