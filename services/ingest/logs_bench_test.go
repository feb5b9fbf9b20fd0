package ingest_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// BenchmarkTailLatency is how long a line takes from its publish to each of 500 followers, at 40 lines a second.
func BenchmarkTailLatency(b *testing.B) {
	for b.Loop() {
		tailLatency(b)
	}
}

func tailLatency(b *testing.B) {
	const followers, lines = 500, 100
	f := setup(b)
	id, _ := f.submit()
	f.say(id, false, "first")
	var ready, running sync.WaitGroup
	took := make([][]time.Duration, followers)
	for i := range followers {
		ready.Add(1)
		running.Go(func() { took[i] = f.times(id, lines, ready.Done) })
	}
	ready.Wait()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for range lines {
		<-tick.C
		f.say(id, false, strconv.FormatInt(time.Now().UnixNano(), 10))
	}
	running.Wait()
	all := slices.Concat(took...)
	if len(all) != followers*lines {
		b.Fatalf("%d lines arrived, want %d", len(all), followers*lines)
	}
	slices.Sort(all)
	b.ReportMetric(all[len(all)/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(all[len(all)*99/100].Seconds()*1000, "p99-ms")
	f.stop()
}

// times follows a log and gives how long each line took that holds the time of its publish.
func (f *farm) times(id string, n int, ready func()) (took []time.Duration) {
	h := withKey()
	h["Accept"] = "text/event-stream"
	resp, err := http.DefaultClient.Do(f.request("GET", api.Path+"/builds/"+id+"/logs", nil, h))
	if err != nil {
		f.t.Error(err)
		ready()
		return nil
	}
	defer resp.Body.Close()
	sc := bufio.NewScanner(resp.Body)
	for len(took) < n && sc.Scan() {
		data, ok := strings.CutPrefix(sc.Text(), "data: ")
		var line api.LogLine
		if !ok || json.Unmarshal([]byte(data), &line) != nil {
			continue
		}
		if line.Line == 1 {
			ready()
			continue
		}
		if at, err := strconv.ParseInt(line.Text, 10, 64); err == nil {
			took = append(took, time.Since(time.Unix(0, at)))
		}
	}
	return took
}

func BenchmarkAThousandLinesFromTheMiddleOfAMillion(b *testing.B) {
	f := setup(b)
	id, _ := f.submit()
	texts := make([]string, 1_000_000)
	for i := range texts {
		texts[i] = fmt.Sprintf("> Task :app:compile%dKotlin UP-TO-DATE in %d ms", i%97, i*7919%1000)
	}
	f.scheduler.set(id, func(b *schedulerv1.Build) { b.State = "completed" })
	f.archive(id, 0, nil, texts...)
	path := api.Path + "/builds/" + id + "/logs?from=500000&limit=1000"
	for b.Loop() {
		if r := f.get(path); r.status != http.StatusOK || !strings.HasPrefix(string(r.body), `[{"line":500000,`) {
			b.Fatalf("%d %.100s", r.status, r.body)
		}
	}
}
