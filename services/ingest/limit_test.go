package ingest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	loglimit "github.com/expo-free-agent/freeagent/shared/buildlog/limit"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
)

const reached = "✂ This log has reached its limit (100 lines or 200 MB). What follows is left out."

func limited(lines int64) func(*ingest.Config) {
	return func(c *ingest.Config) { c.LogLimit = loglimit.Limit{Lines: lines, Bytes: 200 << 20} }
}

// postLines posts lines as a worker of API v1, to the gateway at url.
func (f *farm) postLines(url, id string, texts ...string) map[string]any {
	f.t.Helper()
	var body struct {
		Logs []map[string]string `json:"logs"`
	}
	for _, text := range texts {
		body.Logs = append(body.Logs, map[string]string{"level": "info", "message": text})
	}
	data, err := json.Marshal(body)
	if err != nil {
		f.t.Fatal(err)
	}
	h := withKey()
	h["X-Worker-Id"], h["X-Build-Id"], h["Content-Type"] = "w1", id, "application/json"
	before := f.url
	f.url = url
	defer func() { f.url = before }()
	return f.do(http.MethodPost, "/api/builds/"+id+"/logs", strings.NewReader(string(data)), h).want(f.t, http.StatusOK).json(f.t)
}

// stored counts the lines that lie in the stream.
func (f *farm) stored(id string) (n int) {
	f.t.Helper()
	s, err := f.js.Stream(f.t.Context(), bus.LogsStream)
	if err != nil {
		f.t.Fatal(err)
	}
	for seq := s.CachedInfo().State.FirstSeq; seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(f.t.Context(), seq)
		if err != nil {
			f.t.Fatal(err)
		}
		var c eventsv1.LogChunk
		if err := proto.Unmarshal(m.Data, &c); err == nil && c.GetBuildId() == id {
			n += len(c.GetLines())
		}
	}
	return n
}

// plain are a log's texts.
func (f *farm) plain(id string) (texts []string) {
	f.t.Helper()
	for _, l := range f.logTexts(id, "") {
		_, text, _ := strings.Cut(l, " ")
		texts = append(texts, text)
	}
	return texts
}

// TestLogOfAWorkerOfV1HasALimit: up to it every line is there, then one that says so, and of the
// worker's nothing more; the control plane's lines are. The posts are answered as ever.
func TestLogOfAWorkerOfV1HasALimit(t *testing.T) {
	t.Parallel()
	f := setup(t, limited(100))
	id := f.at("building")
	all := numbered(250)
	for i := 0; i < len(all); i += 25 {
		if m := f.postLines(f.url, id, all[i:i+25]...); m["success"] != true || m["count"] != 25.0 {
			t.Errorf("answer = %v", m)
		}
	}
	f.say(id, false, "said by the control plane")
	want := append(append([]string{}, all[:100]...), reached, "said by the control plane")
	if diff := cmp.Diff(want, f.plain(id)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if n := f.stored(id); n != 102 {
		t.Errorf("%d lines lie in the stream, want 102", n)
	}
	_, followed := f.follow(id, "").lines(102)
	if diff := cmp.Diff(want, followed); diff != "" {
		t.Errorf("followed: -want +got\n%s", diff)
	}
	var found []api.LogLine
	if err := json.Unmarshal(f.get(api.Path+"/builds/"+id+"/logs?q=limit").want(t, 200).body, &found); err != nil || len(found) != 1 || found[0].Line != 101 {
		t.Errorf("search = %+v, %v", found, err)
	}
	f.publishEnd(id)
	eventually(t, "the lines left out were counted", func() bool { return f.log.contains("lines=150") })
}

// publishEnd tells of a build's end.
func (f *farm) publishEnd(id string) {
	f.t.Helper()
	if _, err := f.js.Publish(f.t.Context(), bus.BuildSubject(id, bus.Completed), nil); err != nil {
		f.t.Fatal(err)
	}
}

// TestALogOfJustItsLimitSaysNothing: nothing is missing of it.
func TestALogOfJustItsLimitSaysNothing(t *testing.T) {
	t.Parallel()
	f := setup(t, limited(100))
	id := f.at("building")
	f.postLines(f.url, id, numbered(100)...)
	if diff := cmp.Diff(numbered(100), f.plain(id)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestLimitByBytes counts the text.
func TestLimitByBytes(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *ingest.Config) { c.LogLimit = loglimit.Limit{Bytes: 1 << 20} })
	id := f.at("building")
	line := strings.Repeat("x", 60<<10)
	for range 6 {
		f.postLines(f.url, id, line, line, line, line)
	}
	got := f.plain(id)
	if len(got) != 18 || got[17] != "✂ This log has reached its limit (2,000,000 lines or 1 MB). What follows is left out." {
		t.Errorf("%d lines, the last %.100q", len(got), got[len(got)-1])
	}
}

// TestGatewaysShareALimit posts lines of one build to three gateways at once, one of which starts later. The log has one notice, at its end, and
// the stream holds few lines more.
func TestGatewaysShareALimit(t *testing.T) {
	t.Parallel()
	const limit, gateways, slack = 6400, 3, 4 * 6400 / 64 // one more: a restart
	f := setup(t, limited(limit))
	urls := []string{f.url}
	for n := range gateways - 1 {
		f.start(f.bus.Connect(fmt.Sprint("ingest-", n)))
		urls = append(urls, f.url)
	}
	id := f.at("building")
	post := func(rounds int) {
		var all sync.WaitGroup
		for _, url := range urls {
			one := *f // each with a url of its own
			all.Go(func() {
				for range rounds {
					one.postLines(url, id, numbered(20)...)
				}
			})
		}
		all.Wait()
	}
	post(60) // 3600
	f.start(f.bus.Connect("ingest-again"))
	urls[1] = f.url
	post(60) // 7200
	post(5)
	got := f.plain(id)
	var notices int
	for _, text := range got {
		if strings.HasPrefix(text, "✂") {
			notices++
		}
	}
	if last := got[len(got)-1]; notices != 1 || !strings.HasPrefix(last, "✂ This log has reached its limit (6,400 lines or 200 MB).") {
		t.Errorf("%d notices, the last line %q", notices, last)
	}
	if n := len(got) - 1; n < limit-slack || n > limit+slack {
		t.Errorf("%d lines are shown, want %d and at most %d off", n, limit, slack)
	}
	if n := f.stored(id); n > limit+slack+gateways+1 {
		t.Errorf("%d lines lie in the stream, want at most %d", n, limit+slack+gateways+1)
	}
	t.Logf("%d lines shown, %d stored, of a limit of %d", len(got)-1, f.stored(id), limit)
}

// TestLimitWithoutADatabase: lines are taken, and each gateway goes by its own count.
func TestLimitWithoutADatabase(t *testing.T) {
	t.Parallel()
	f := setup(t, limited(100))
	id := f.at("building")
	f.postLines(f.url, id, "the key is known from now on")
	err := f.db.WithTx(t.Context(), func(tx *database.Tx) error {
		_, err := tx.ExecContext(t.Context(), "DROP TABLE log_sizes")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f.postLines(f.url, id, numbered(150)...)
	if got := f.plain(id); len(got) != 101 || got[100] != reached {
		t.Errorf("%d lines, the last %q", len(got), got[len(got)-1])
	}
	if !f.log.contains("report log size failed") {
		t.Error("the log says nothing of the database")
	}
}

// TestLinesBeyondTheLimitAreSignsOfLife: a build that prints too much is not silent.
func TestLinesBeyondTheLimitAreSignsOfLife(t *testing.T) {
	t.Parallel()
	f := setup(t, limited(1), func(c *ingest.Config) { c.StageTTLs = map[build.Stage]time.Duration{build.StagePrepare: time.Second} })
	id := f.at("building")
	f.postLines(f.url, id, "one", "two")
	kv, err := f.js.KeyValue(t.Context(), bus.HeartbeatBucket)
	if err != nil {
		t.Fatal(err)
	}
	first, err := kv.Get(t.Context(), bus.LeaseKey("w1", id, 1))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "lines that are left out keep the lease", func() bool {
		f.postLines(f.url, id, "more")
		now, err := kv.Get(t.Context(), bus.LeaseKey("w1", id, 1))
		return err == nil && now.Revision() > first.Revision()
	})
}
