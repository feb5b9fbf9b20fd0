package ingest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// archive makes lines of a build that has ended its archived log, through a place in the stream.
func (f *farm) archive(id string, through uint64, marks []logarchive.Mark, texts ...string) {
	f.t.Helper()
	var file bytes.Buffer
	w, err := logarchive.NewWriter(&file)
	for _, text := range texts {
		if err == nil {
			err = w.Write(logarchive.Line{AtMs: 1_700_000_000_000, Attempt: 1, Level: "info", Text: text})
		}
	}
	if err == nil {
		_, err = w.Close(marks...)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	object := f.artifact.add(&object{build: id, kind: artifactv1.Kind_KIND_LOG, data: file.Bytes(), stored: true})
	f.artifact.mu.Lock()
	defer f.artifact.mu.Unlock()
	f.artifact.logs[id] = &artifactv1.LogResponse{
		Object: &eventsv1.ObjectRef{ObjectId: object, Size: int64(file.Len())}, Lines: int64(len(texts)), ThroughSeq: through,
		ArchivedAtMs: 1_700_000_000_000, KeptUntilMs: 1_800_000_000_000,
	}
}

// purge takes a build's log out of the stream.
func (f *farm) purge(id string) {
	f.t.Helper()
	s, err := f.js.Stream(f.t.Context(), bus.LogsStream)
	if err == nil {
		err = s.Purge(f.t.Context(), jetstream.WithPurgeSubject(bus.LogSubjectsOf(id)))
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func numbered(n int) (texts []string) {
	for i := range n {
		texts = append(texts, fmt.Sprintf("line %d", i+1))
	}
	return texts
}

func (f *farm) logTexts(id, query string) (texts []string) {
	f.t.Helper()
	var lines []api.LogLine
	if err := json.Unmarshal(f.get(api.Path+"/builds/"+id+"/logs"+query).want(f.t, 200).body, &lines); err != nil {
		f.t.Fatal(err)
	}
	for _, l := range lines {
		texts = append(texts, fmt.Sprintf("%d %s", l.Line, l.Text))
	}
	return texts
}

// TestReadingIsTheSameBeforeAndAfterArchiving asks every way of reading the same of a log in the
// stream and of one archived.
func TestReadingIsTheSameBeforeAndAfterArchiving(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	const n = 3000
	texts := numbered(n)
	texts[1499] = "a \x1b[31mRed\x1b[0m \"word\" \u2713"
	for chunk := range slices.Chunk(texts, 500) {
		f.say(id, false, chunk...)
	}
	f.scheduler.set(id, func(b *schedulerv1.Build) { b.State = "completed" })
	paths := []string{
		"/api/builds/" + id + "/logs", "", "?from=1500&limit=2", "?from=-2", "?from=2999&limit=50", "?limit=3", "?from=9999",
		"?from=-99999&limit=1", "?q=red+%22WORD", "?q=line+12&limit=5", "?from=1200&q=line+12&limit=1", "?q=nowhere", "text",
	}
	ask := func(path string) string {
		h := withKey()
		switch {
		case path == "text":
			h["Accept"], path = "text/plain", api.Path+"/builds/"+id+"/logs"
		case !strings.HasPrefix(path, "/"):
			path = api.Path + "/builds/" + id + "/logs" + path
		}
		r := f.do(http.MethodGet, path, nil, h).want(t, 200)
		return r.header.Get("Content-Type") + r.header.Get("Content-Disposition") + r.header.Get(api.SearchedHeader) + "\n" + string(r.body)
	}
	before := map[string]string{}
	for _, p := range paths {
		before[p] = ask(p)
	}
	_, followed := f.follow(id, "2990").lines(11)
	f.archive(id, 0, nil, texts...)
	f.purge(id)
	for _, p := range paths {
		if diff := cmp.Diff(before[p], ask(p)); diff != "" {
			t.Errorf("%s: -before +after\n%s", p, diff)
		}
	}
	_, after := f.follow(id, "2990").lines(11)
	if diff := cmp.Diff(followed, after); diff != "" || after[10] != "end" {
		t.Errorf("followed: -before +after\n%s", diff)
	}
	for query, want := range map[string][]string{
		"?from=1500&limit=2": {"1500 " + texts[1499], "1501 line 1501"}, "?from=-2": {"2999 line 2999", "3000 line 3000"},
		"?q=red+%22WORD": {"1500 " + texts[1499]}, "?from=1200&q=line+12&limit=1": {"1200 line 1200"},
	} {
		if diff := cmp.Diff(want, f.logTexts(id, query)); diff != "" {
			t.Errorf("%s: -want +got\n%s", query, diff)
		}
	}
	if got := before["text"]; !strings.Contains(got, "\na Red \"word\" \u2713\n") || !strings.Contains(got, `filename="`+id+`.log"`) {
		t.Errorf("text = %.200s", got)
	}
}

func TestPartsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	for _, q := range []string{"from=x", "limit=-1", "limit=10001", "limit=x", "q=" + strings.Repeat("a", 201)} {
		f.get(api.Path+"/builds/"+id+"/logs?"+q).want(t, 400)
	}
}

// TestLateLinesFollowTheArchive: what came after the archive, and a repeat of what is in it.
func TestLateLinesFollowTheArchive(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	f.scheduler.set(id, func(b *schedulerv1.Build) { b.State = "failed" })
	f.sayAs(id, "w1", 1, "one", "two")
	f.archive(id, 1, []logarchive.Mark{{Writer: "w1", Attempt: 1, Last: 2}}, "one", "two")
	f.sayAs(id, "w1", 2, "two", "three")
	f.say(id, false, "Retried as build x")
	want := []string{"1 one", "2 two", "3 three", "4 Retried as build x"}
	if diff := cmp.Diff(want, f.logTexts(id, "")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if diff := cmp.Diff(want[2:], f.logTexts(id, "?from=3")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	_, got := f.follow(id, "").lines(5)
	if diff := cmp.Diff([]string{"one", "two", "three", "Retried as build x", "end"}, got); diff != "" {
		t.Errorf("followed: -want +got\n%s", diff)
	}
}

// sayAs adds numbered lines of a worker, the first of whom holds the build.
func (f *farm) sayAs(id, worker string, first int64, texts ...string) {
	f.t.Helper()
	f.scheduler.claim(id, worker, 1)
	c := &eventsv1.LogChunk{BuildId: id, Attempt: 1, FirstLine: first}
	for _, l := range texts {
		c.Lines = append(c.Lines, &eventsv1.LogLine{AtMs: 1_700_000_000_000, Level: "info", Text: l})
	}
	m, err := bus.NewMessage(f.t.Context(), "test", bus.LogSubject(worker, id, 1), time.Now(), c)
	if err == nil {
		_, err = f.js.PublishMsg(f.t.Context(), m.NATS())
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func TestRemovedLogSaysSo(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	f.scheduler.set(id, func(b *schedulerv1.Build) { b.State = "completed" })
	f.artifact.mu.Lock()
	f.artifact.logs[id] = &artifactv1.LogResponse{Lines: 7, RemovedAtMs: 1_700_000_000_000, KeptUntilMs: 1_700_000_000_000, ArchivedAtMs: 1}
	f.artifact.mu.Unlock()
	want := "1 (the log of this build was removed on 14 November 2023, when its time was over)"
	if got := f.logTexts(id, ""); len(got) != 1 || got[0] != want {
		t.Errorf("log = %q, want %q", got, want)
	}
	if _, got := f.follow(id, "").lines(2); got[1] != "end" {
		t.Errorf("followed: %q", got)
	}
	var b api.Build
	if err := json.Unmarshal(f.get(api.Path+"/builds/"+id).want(t, 200).body, &b); err != nil || b.Log == nil || b.Log.RemovedAt == "" || b.Log.Lines != 7 {
		t.Errorf("build = %+v, %v", b.Log, err)
	}
}

func TestBuildSaysHowLongItsLogIsKept(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	read := func() (b api.Build) {
		if err := json.Unmarshal(f.get(api.Path+"/builds/"+id).want(t, 200).body, &b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	if got := read().Log; got != nil {
		t.Errorf("log of a build that goes on = %+v", got)
	}
	f.archive(id, 0, nil, "one", "two")
	f.scheduler.set(id, func(b *schedulerv1.Build) { b.State = "completed" })
	if diff := cmp.Diff(&api.Log{Lines: 2, ArchivedAt: "2023-11-14T22:13:20.000Z", KeptUntil: "2027-01-15T08:00:00.000Z"}, read().Log); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestFollowersShareAReader: however many follow a log, the bus serves one.
func TestFollowersShareAReader(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	f.say(id, false, "one", "two")
	const n = 40
	var all [n]*follower
	for i := range all {
		all[i] = f.follow(id, "")
		all[i].lines(2)
	}
	s, err := f.js.Stream(t.Context(), bus.LogsStream)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.CachedInfo().State.Consumers; got != 1 {
		t.Errorf("%d consumers for %d followers, want 1", got, n)
	}
	f.say(id, false, "three")
	for _, l := range all {
		if _, text := l.line(); text != "three" {
			t.Errorf("line = %q", text)
		}
	}
	for _, l := range all {
		l.stop()
	}
	f.noReaders()
}

// TestASlowFollowerHoldsUpNobody: a log larger than what is held for followers; one of them does
// not read at first, and still gets every line once.
func TestASlowFollowerHoldsUpNobody(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	f.say(id, false, "the first")
	slow := f.follow(id, "")
	slow.lines(1)
	fast := f.follow(id, "")
	fast.lines(1)
	const chunks, per = 60, 500
	long := strings.Repeat("x", 300)
	for c := range chunks {
		texts := make([]string, per)
		for i := range texts {
			texts[i] = fmt.Sprintf("%d %s", c*per+i, long)
		}
		f.say(id, false, texts...)
	}
	f.scheduler.set(id, func(b *schedulerv1.Build) { b.State = "completed" })
	f.say(id, true, "the last")
	for _, l := range []*follower{fast, slow} {
		ids, texts := l.lines(chunks*per + 2)
		if texts[len(texts)-1] != "end" || texts[len(texts)-2] != "the last" {
			t.Fatalf("it ends with %.50q", texts[len(texts)-2:])
		}
		for i := range chunks * per {
			if want := fmt.Sprintf("%d %s", i, long); texts[i] != want || ids[i] != fmt.Sprint(i+2) {
				t.Fatalf("line %d is %.20q with the id %s", i, texts[i], ids[i])
			}
		}
	}
	late := f.follow(id, fmt.Sprint(chunks*per/2))
	if _, texts := late.lines(1); !strings.HasPrefix(texts[0], fmt.Sprint(chunks*per/2-1)+" ") {
		t.Errorf("from the middle: %.20q", texts[0])
	}
}
