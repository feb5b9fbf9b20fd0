package standalone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/fake"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// fleetVariable makes this test's program a process of idle workers instead; it holds a fleetPlan.
const fleetVariable = "FREEAGENT_BENCH_FLEET"

// settle is how many seconds pass until each has been told what pace so many keep: with its third comparison with the scheduler.
const settle = 180

type fleetPlan struct {
	URL, Dir string
	Workers  int
}

// runFleet runs the true agent many times in this process, until SIGTERM; its workers share nothing but the process.
func runFleet(text string) error {
	var plan fleetPlan
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	gateway, err := api.New(api.Config{BaseURL: plan.URL, Key: farmKey, Transport: &http.Transport{MaxConnsPerHost: 16, MaxIdleConnsPerHost: 16}})
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	faults := make([]error, plan.Workers)
	for i := range plan.Workers {
		dir := filepath.Join(plan.Dir, fmt.Sprint(i))
		executor, err := fake.New(dir, fake.Options{}, nil)
		if err != nil {
			return err
		}
		w, err := worker.New(worker.Config{Name: fmt.Sprintf("idle-%d", i), StateDir: dir},
			worker.Deps{Gateway: gateway, Executor: executor, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		all.Go(func() { faults[i] = w.Run(ctx) })
	}
	all.Wait()
	return errors.Join(faults...)
}

// BenchmarkIdleWorkers is what workers that wait for builds cost the server: 10,000 of the true agent (FREEAGENT_BENCH_WORKERS says
// otherwise) in four processes. It reports how long they took to come all at once, and then, in a quiet minute
// (FREEAGENT_BENCH_SECONDS; FREEAGENT_BENCH_SETTLE is how many pass before it), the server's share of a core and its memory. With FREEAGENT_BENCH_PROFILE a profile of the processor's
// time goes to that file. Linux only.
func BenchmarkIdleWorkers(b *testing.B) {
	const processes = 4 // a process may open 20,000 files here and there, and a worker needs two
	workers, seconds := number(b, "FREEAGENT_BENCH_WORKERS", 10_000), number(b, "FREEAGENT_BENCH_SECONDS", 60)
	for b.Loop() {
		debug := "127.0.0.1:" + freePort(b)
		f := newFarm(b, "--debug-listen", debug)
		if f.cpu(b) == 0 {
			b.Skip("the server's time can be read on Linux only")
		}
		alone := f.memory(b)
		began, spent := time.Now(), f.cpu(b)
		for range processes {
			f.idlers(b, workers/processes)
		}
		f.await(b, workers/processes*processes)
		b.ReportMetric(time.Since(began).Seconds(), "s-to-come")
		b.ReportMetric((f.cpu(b)-spent).Seconds()*1000/float64(workers), "cpu-ms-to-come")
		quiet(b, f)
		measure := f.cpu(b)
		since := time.Now()
		profile(b, debug, seconds)
		share := (f.cpu(b) - measure).Seconds() / time.Since(since).Seconds()
		b.ReportMetric(100*share, "%-of-a-core")
		b.ReportMetric(1e6*share/float64(workers), "cpu-us/worker/s")
		b.ReportMetric(float64(f.memory(b)-alone)/1024/float64(workers), "KiB/worker")
		f.await(b, workers/processes*processes)
		f.kill()
	}
}

// idlers starts a process of n workers.
func (f *farm) idlers(b *testing.B, n int) {
	b.Helper()
	plan, err := json.Marshal(fleetPlan{URL: f.url(), Dir: b.TempDir(), Workers: n})
	if err != nil {
		b.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd, said := exec.Command(self), &lockedBuffer{}
	cmd.Env = append(os.Environ(), fleetVariable+"="+string(plan))
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if text := said.String(); text != "" {
			b.Log(text)
		}
	})
}

// await returns when so many workers are online, and wants no more.
func (f *farm) await(b *testing.B, workers int) {
	b.Helper()
	deadline := time.Now().Add(8 * time.Minute)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	online := 0
	for ; online < workers; <-tick.C {
		resp, err := http.Get(f.url() + "/public/stats")
		if err != nil {
			b.Fatal(err)
		}
		var figures struct{ NodesOnline int }
		err = json.NewDecoder(resp.Body).Decode(&figures)
		resp.Body.Close()
		if err != nil && time.Now().After(deadline) || time.Now().After(deadline) {
			b.Fatalf("%d of %d workers are online: %v", online, workers, err)
		}
		online = figures.NodesOnline
	}
	if online != workers {
		b.Errorf("%d workers are online, want %d", online, workers)
	}
}

// quiet returns when what the workers' coming began is over: they have all heard what pace so many keep, which each is told with
// its second sync, and the server needs no less than in the ten seconds before.
func quiet(b *testing.B, f *farm) {
	b.Helper()
	<-time.After(time.Duration(number(b, "FREEAGENT_BENCH_SETTLE", settle)) * time.Second)
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	last, was := f.cpu(b), time.Duration(1<<62)
	for range 12 {
		<-tick.C
		now := f.cpu(b)
		used := now - last
		if used*10 >= was*9 {
			return
		}
		last, was = now, used
	}
}

// profile waits for so many seconds; the profile is kept if a file for it is named, and costs the server a little.
func profile(b *testing.B, debug string, seconds int) {
	b.Helper()
	to := os.Getenv("FREEAGENT_BENCH_PROFILE")
	if to == "" {
		<-time.After(time.Duration(seconds) * time.Second)
		return
	}
	resp, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", debug, seconds))
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	var data bytes.Buffer
	_, err = io.Copy(&data, resp.Body)
	if err == nil {
		err = os.WriteFile(to, data.Bytes(), 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// memory is the server's resident memory in bytes.
func (f *farm) memory(b *testing.B) int64 {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", f.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(data), &size, &resident); err != nil {
		b.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}

// number returns the number in an environment variable.
func number(b *testing.B, variable string, otherwise int) int {
	b.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		b.Fatal(err)
	}
	return n
}
