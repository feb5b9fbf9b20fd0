package standalone_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
)

const bigSource = 60 << 20

// TestSubmitOutlivesTheServer kills the server while a source is on its way: the client goes on with the next server, and the
// build is one.
func TestSubmitOutlivesTheServer(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	var sent atomic.Int64
	killed := make(chan struct{})
	source := &gate{r: bigZip(bigSource), at: bigSource / 2, open: killed}
	go func() { // what is sent in the first half is on its way or there
		defer close(killed)
		f.eventually("half of it is sent", func() bool { return sent.Load() > bigSource/4 })
		f.kill()
		f.up()
	}()
	sub, err := f.client().Builds.Submit(t.Context(), api.Submit{
		Platform: "android", Source: source, Progress: func(n int) { sent.Add(int64(n)) },
	})
	if err != nil {
		t.Fatalf("Submit = %v", err)
	}
	f.onlyBuild(sub.ID)
}

// gate lets reads past at only when open is closed.
type gate struct {
	r        io.Reader
	read, at int64
	open     <-chan struct{}
}

func (g *gate) Read(p []byte) (int, error) {
	if g.read >= g.at {
		<-g.open
	}
	n, err := g.r.Read(p)
	g.read += int64(n)
	return n, err
}

// onlyBuild wants the farm to have this build alone, and completes it.
func (f *farm) onlyBuild(id string) {
	f.t.Helper()
	f.worker("w", "size=1MiB") // large enough to be an object of its own
	f.completedOnce(id)
	list, err := f.client().Builds.List(f.t.Context(), api.ListOptions{})
	if err != nil || len(list.Builds) != 1 {
		f.t.Errorf("%d builds, %v, want 1", len(list.Builds), err)
	}
	if found := visibleObjects(f.t, f.dir); len(found) != 2 {
		f.t.Errorf("objects = %v, want source and result", found)
	}
}

// TestSubmitOverABadLine: every connection breaks after some megabytes, in either direction.
func TestSubmitOverABadLine(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	line := newBadLine(t, "127.0.0.1:"+f.port)
	tries, transport := 0, &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections) // before the line waits for them
	client, err := api.New(api.Config{
		BaseURL: "http://" + line.addr, Key: farmKey, OnRetry: func(error, time.Duration) { tries++ }, Transport: transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := client.Builds.Submit(t.Context(), api.Submit{Platform: "android", Source: bigZip(bigSource)})
	if err != nil {
		t.Fatalf("Submit = %v", err)
	}
	if tries < 3 {
		t.Errorf("the line broke %d times, which shows little", tries)
	}
	f.onlyBuild(sub.ID)
}

// badLine passes connections on and breaks each after 1 to 20 MB.
type badLine struct {
	addr   string
	target string
	wg     sync.WaitGroup
	rng    *rand.Rand
}

func newBadLine(t *testing.T, target string) *badLine {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &badLine{addr: l.Addr().String(), target: target, rng: rand.New(rand.NewPCG(1, 2))}
	b.wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			after := 1<<20 + b.rng.Int64N(19<<20)
			b.wg.Go(func() { b.pass(in, after) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		b.wg.Wait()
	})
	return b
}

func (b *badLine) pass(in net.Conn, after int64) {
	defer in.Close()
	out, err := net.DialTimeout("tcp", b.target, 5*time.Second)
	if err != nil {
		return
	}
	defer out.Close()
	var back sync.WaitGroup
	back.Go(func() {
		_, err := io.Copy(in, out)
		_ = errors.Join(err, in.Close()) // whichever side ends first ends both
	})
	_, err = io.CopyN(out, in, after)
	_ = errors.Join(err, in.Close(), out.Close())
	back.Wait()
}
