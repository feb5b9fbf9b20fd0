package ingest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// followVariable makes this test's program a process of people who follow a log instead; it holds a
// followPlan. Beside the gateway in its own process they would be measured as much as it.
const followVariable = "FREEAGENT_BENCH_FOLLOW"

type followPlan struct {
	URL              string
	Followers, Lines int
}

func TestMain(m *testing.M) {
	if text := os.Getenv(followVariable); text != "" {
		if err := follow(text, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// follow says ready once everybody has the log's first line, and then how long each further line
// took that holds the time of its publish, in nanoseconds, one a line.
func follow(text string, out io.Writer) error {
	var plan followPlan
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var ready, running sync.WaitGroup
	took, faults := make([][]time.Duration, plan.Followers), make([]error, plan.Followers)
	for i := range plan.Followers {
		ready.Add(1)
		running.Go(func() { took[i], faults[i] = times(ctx, plan.URL, plan.Lines, sync.OnceFunc(ready.Done)) })
	}
	ready.Wait()
	fmt.Fprintln(out, "ready")
	running.Wait()
	buffered := bufio.NewWriter(out)
	for _, t := range took {
		for _, d := range t {
			fmt.Fprintln(buffered, int64(d))
		}
	}
	return errors.Join(errors.Join(faults...), buffered.Flush())
}

// times follows a log and gives how long each of n lines took.
func times(ctx context.Context, url string, n int, ready func()) (took []time.Duration, err error) {
	defer ready()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-API-Key", adminKey)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	sc := bufio.NewScanner(resp.Body)
	for len(took) < n && sc.Scan() {
		data, ok := strings.CutPrefix(sc.Text(), "data: ")
		arrived := time.Now()
		var line api.LogLine
		if !ok || json.Unmarshal([]byte(data), &line) != nil {
			continue
		}
		if line.Line == 1 {
			ready()
			continue
		}
		if at, err := strconv.ParseInt(line.Text, 10, 64); err == nil {
			took = append(took, arrived.Sub(time.Unix(0, at)))
		}
	}
	return took, sc.Err()
}

// followers are a process of them.
type followers struct {
	b     *testing.B
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

// crowd starts them and returns when all are ready.
func (f *farm) crowd(b *testing.B, path string, n, lines int) *followers {
	b.Helper()
	plan, err := json.Marshal(followPlan{URL: f.url + path, Followers: n, Lines: lines})
	if err != nil {
		b.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), self)
	cmd.Env, cmd.Stderr = append(os.Environ(), followVariable+"="+string(plan)), os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	p := &followers{b: b, cmd: cmd, lines: bufio.NewScanner(out)}
	if !p.lines.Scan() || p.lines.Text() != "ready" {
		b.Fatalf("followers said %q, %v; %v", p.lines.Text(), p.lines.Err(), cmd.Wait())
	}
	return p
}

// took waits for their end and gives all times.
func (p *followers) took() (all []time.Duration) {
	p.b.Helper()
	for p.lines.Scan() {
		n, err := strconv.ParseInt(p.lines.Text(), 10, 64)
		if err != nil {
			p.b.Fatal(err)
		}
		all = append(all, time.Duration(n))
	}
	if err := errors.Join(p.lines.Err(), p.cmd.Wait()); err != nil {
		p.b.Fatal(err)
	}
	return all
}
