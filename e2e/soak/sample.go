package soak

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Sample is what the server's process held at a moment.
type Sample struct {
	// Second since the load began.
	Second int `json:"second"`
	// RSSKiB is all of its memory that is resident, AnonKiB what of it is no file's.
	RSSKiB  int64 `json:"rss_kib"`
	AnonKiB int64 `json:"anon_kib"`
	// HeapKiB is what Go's heap has in use.
	HeapKiB    int64 `json:"heap_kib"`
	Goroutines int64 `json:"goroutines"`
	Files      int64 `json:"files"`
	// CPUMillis is the processor's time since its start.
	CPUMillis int64 `json:"cpu_ms"`
	// Builds that were acknowledged so far.
	Builds int64 `json:"builds"`
}

// look takes a sample. The profiles are read by text: both their forms name what we want on one line.
func (s *server) look(ctx context.Context, began time.Time) (Sample, error) {
	sample, proc := Sample{Second: int(time.Since(began).Seconds())}, fmt.Sprintf("/proc/%d/", s.cmd.Process.Pid)
	files, err := os.ReadDir(proc + "fd")
	if err != nil {
		return sample, fmt.Errorf("look at the server (Linux only): %w", err)
	}
	sample.Files = int64(len(files))
	status, err := os.ReadFile(filepath.Clean(proc + "status"))
	if err != nil {
		return sample, fmt.Errorf("look at the server: %w", err)
	}
	if sample.RSSKiB, err = after(string(status), "VmRSS:"); err != nil {
		return sample, err
	}
	if sample.AnonKiB, err = after(string(status), "RssAnon:"); err != nil {
		return sample, err
	}
	if sample.CPUMillis, err = processorTime(proc); err != nil {
		return sample, err
	}
	if sample.Goroutines, err = s.profile(ctx, "goroutine", "goroutine profile: total "); err != nil {
		return sample, err
	}
	heap, err := s.profile(ctx, "heap", "# HeapInuse = ")
	sample.HeapKiB = heap >> 10
	return sample, err
}

// after returns the number that follows a word.
func after(text, word string) (int64, error) {
	_, rest, found := strings.Cut(text, word)
	fields := strings.Fields(rest)
	if !found || len(fields) == 0 {
		return 0, fmt.Errorf("nothing says %q", word)
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q: %w", word, err)
	}
	return n, nil
}

func processorTime(proc string) (int64, error) {
	data, err := os.ReadFile(filepath.Clean(proc + "stat"))
	if err != nil {
		return 0, fmt.Errorf("look at the server: %w", err)
	}
	_, rest, _ := strings.Cut(string(data), ") ") // the name before it may hold anything
	fields := strings.Fields(rest)
	var ticks int64
	for _, i := range []int{11, 12} { // utime and stime, in hundredths of a second
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("processor's time: %w", err)
		}
		ticks += n
	}
	return ticks * 10, nil
}

// profile reads the number that follows word in a profile's text.
func (s *server) profile(ctx context.Context, name, word string) (int64, error) {
	body, err := s.open(ctx, name, "debug=1")
	if err != nil {
		return 0, err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), word) {
			n, err := after(lines.Text(), word)
			_, _ = io.Copy(io.Discard, body) // the connection is used again
			return n, err
		}
	}
	return 0, fmt.Errorf("profile %s does not say %q: %w", name, word, lines.Err())
}

func (s *server) open(ctx context.Context, name, query string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.debug+"/debug/pprof/"+name+"?"+query, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("profile %s: %s: %w", name, resp.Status, resp.Body.Close())
	}
	return resp.Body, nil
}

// keepProfile writes a profile beside the logs: what grew is found by comparing two.
func (s *server) keepProfile(ctx context.Context, name, to string) error {
	body, err := s.open(ctx, name, "")
	if err != nil {
		return err
	}
	defer body.Close()
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, body); err != nil {
		return fmt.Errorf("keep profile %s: %w", name, err)
	}
	return f.Sync()
}
