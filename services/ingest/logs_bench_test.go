package ingest_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// BenchmarkTailLatency is how long a line takes from its publish to each of 500 followers in a
// process of their own, at 40 lines a second.
func BenchmarkTailLatency(b *testing.B) {
	for b.Loop() {
		tailLatency(b)
	}
}

func tailLatency(b *testing.B) {
	const people, lines = 500, 100
	f := setup(b)
	id, _ := f.submit()
	f.say(id, false, "first")
	reading := f.crowd(b, api.Path+"/builds/"+id+"/logs", people, lines)
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for range lines {
		<-tick.C
		f.say(id, false, strconv.FormatInt(time.Now().UnixNano(), 10))
	}
	all := reading.took()
	if len(all) != people*lines {
		b.Fatalf("%d lines arrived, want %d", len(all), people*lines)
	}
	slices.Sort(all)
	b.ReportMetric(all[len(all)/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(all[len(all)*99/100].Seconds()*1000, "p99-ms")
	f.stop()
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
