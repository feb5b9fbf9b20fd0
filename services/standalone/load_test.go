package standalone_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wire is an HTTP/1.1 connection that costs its user next to nothing: requests are bytes made beforehand, and of an answer it
// reads what it must. net/http's client takes as much of a core as the server that is to be measured.
type wire struct {
	conn net.Conn
	r    *bufio.Reader
}

func dialWire(addr string) (*wire, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &wire{conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}, nil
}

// do sends a request and gives the answer's status and body; the body is valid until the next call.
func (w *wire) do(request []byte) (status int, body []byte, err error) {
	if err := w.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return 0, nil, err
	}
	if _, err := w.conn.Write(request); err != nil {
		return 0, nil, err
	}
	line, err := w.r.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 {
		return 0, nil, fmt.Errorf("status line %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, err
	}
	size := -1
	for {
		if line, err = w.r.ReadSlice('\n'); err != nil {
			return 0, nil, err
		}
		if len(line) <= 2 {
			break
		}
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(name, []byte("Content-Length")) {
			if size, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, nil, err
			}
		}
	}
	if size < 0 {
		return status, nil, fmt.Errorf("status %d: an answer without Content-Length", status)
	}
	body = make([]byte, size)
	_, err = io.ReadFull(w.r, body)
	return status, body, err
}

// request packs an HTTP request.
func request(method, path, contentType string, body []byte, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: farm\r\nX-API-Key: %s\r\n", method, path, farmKey)
	for i := 0; i < len(headers); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", headers[i], headers[i+1])
	}
	if contentType != "" {
		fmt.Fprintf(&b, "Content-Type: %s\r\nContent-Length: %d\r\n", contentType, len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// load sends b.N requests to the farm over so many connections, one after the other on each. It reports the rate, the times
// that they took, and the processor's time that each cost the server, which other work on the machine changes least. next
// gives the request of number i.
func (f *farm) load(b *testing.B, connections int, next func(i int64) []byte) {
	b.Helper()
	addr := "127.0.0.1:" + f.port
	wires := make([]*wire, connections)
	for i := range wires {
		w, err := dialWire(addr)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = w.conn.Close() })
		wires[i] = w
	}
	var count atomic.Int64
	took := make([][]time.Duration, connections)
	var all sync.WaitGroup
	spent := f.cpu(b)
	b.ResetTimer()
	for c, w := range wires {
		all.Go(func() {
			for {
				i := count.Add(1) - 1
				if i >= int64(b.N) {
					return
				}
				began := time.Now()
				status, body, err := w.do(next(i))
				took[c] = append(took[c], time.Since(began))
				if err != nil || status/100 != 2 {
					b.Errorf("request %d = %d %.200s, %v", i, status, body, err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	times := slices.Concat(took...)
	slices.Sort(times)
	if len(times) == 0 {
		return
	}
	b.ReportMetric(float64(len(times))/b.Elapsed().Seconds(), "requests/s")
	if spent > 0 {
		b.ReportMetric((f.cpu(b)-spent).Seconds()*1e6/float64(len(times)), "server-cpu-us")
	}
	b.ReportMetric(times[len(times)/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(times[len(times)*99/100].Seconds()*1000, "p99-ms")
}

// cpu is the processor's time that the server has used; 0 where it cannot be read.
func (f *farm) cpu(b *testing.B) time.Duration {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.cmd.Process.Pid))
	if err != nil {
		return 0 // not Linux
	}
	_, rest, _ := strings.Cut(string(data), ") ") // the name before it may hold anything
	fields := strings.Fields(rest)
	var ticks int64
	for _, i := range []int{11, 12} { // utime and stime, in hundredths of a second
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
