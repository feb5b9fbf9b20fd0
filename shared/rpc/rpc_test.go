package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/observe"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

type text = wrapperspb.StringValue

type bundle struct {
	*bustest.Server
	t  *testing.T
	nc *nats.Conn
}

func setup(t *testing.T) *bundle {
	t.Helper()
	s := bustest.Start(t)
	return &bundle{Server: s, t: t, nc: s.Connect("caller")}
}

// service gives "echo" on a connection of its own.
func (b *bundle) service() *rpc.Service {
	b.t.Helper()
	s, err := rpc.NewService(b.Connect("echo"), "echo", "v1.2.3-4-gabcdef", slog.New(slog.DiscardHandler))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.stop(s) })
	return s
}

func (b *bundle) stop(s *rpc.Service) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		b.t.Errorf("Stop = %v", err)
	}
}

func (b *bundle) handle(s *rpc.Service, fn func(context.Context, *text) (*text, error)) {
	b.t.Helper()
	if err := rpc.Handle(s, "say", fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) call(ctx context.Context, say string) (string, error) {
	var got text
	err := rpc.Call(ctx, b.nc, bus.RequestSubject("echo", "say"), wrapperspb.String(say), &got)
	return got.GetValue(), err
}

func TestSentinelsCrossTheWire(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sentinels := []error{
		build.ErrNotFound, build.ErrInvalid, build.ErrFinished, build.ErrTaken, build.ErrNotQueued, build.ErrLeaseLost,
		build.ErrQueueFull, build.ErrWorkerUnknown, build.ErrNotEligible, build.ErrNoSlot, build.ErrObjectNotFound,
		build.ErrObjectCorrupt, build.ErrTooLarge, build.ErrNoSpace, build.ErrBadArchive, build.ErrUnauthorized, build.ErrRebuilding, build.ErrUnavailable,
	}
	byText := map[string]error{}
	for _, e := range sentinels {
		byText[e.Error()] = e
	}
	b.handle(b.service(), func(_ context.Context, req *text) (*text, error) {
		return nil, fmt.Errorf("entry \"a\nb\": %w", byText[req.GetValue()])
	})
	for _, want := range sentinels {
		_, err := b.call(t.Context(), want.Error())
		if !errors.Is(err, want) || !strings.Contains(err.Error(), want.Error()) {
			t.Errorf("got %v, want it to be and to say %v", err, want)
		}
		for _, other := range sentinels {
			if !errors.Is(want, other) && errors.Is(err, other) {
				t.Errorf("%v is also %v", err, other)
			}
		}
	}
}

// TestFullDiskCrossesTheWire: the caller learns that the service's disk is full, and may wait for it as for one that is away.
func TestFullDiskCrossesTheWire(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.handle(b.service(), func(context.Context, *text) (*text, error) {
		return nil, errors.Join(build.ErrUnavailable, &pgconn.PgError{Code: "53100", Message: "could not extend file base/5/1"})
	})
	_, err := b.call(t.Context(), "")
	if build.Code(err) != "no_space" || !errors.Is(err, build.ErrNoSpace) || !errors.Is(err, build.ErrUnavailable) ||
		!strings.Contains(err.Error(), "disk is full") || strings.Contains(err.Error(), "base/5") {
		t.Errorf("got %v, want no space with a sentence for users", err)
	}
}

// TestInternalErrorsStayInside: neither an unknown error's text nor a panic's crosses the wire.
func TestInternalErrorsStayInside(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.handle(b.service(), func(_ context.Context, req *text) (*text, error) {
		if req.GetValue() == "panic" {
			panic("hunter2")
		}
		return nil, errors.New("password is hunter2")
	})
	for _, say := range []string{"error", "panic"} {
		if _, err := b.call(t.Context(), say); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want an error without details", say, err)
		}
	}
}

func TestGarbageIsInvalid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.handle(b.service(), func(context.Context, *text) (*text, error) { return &text{}, nil })
	if _, err := b.call(t.Context(), "x"); err != nil { // it listens
		t.Fatal(err)
	}
	m, err := b.nc.Request(bus.RequestSubject("echo", "say"), []byte("\xff\xff"), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := rpc.FromCode(m.Header.Get("Nats-Service-Error-Code"), "x"); !errors.Is(err, build.ErrInvalid) {
		t.Errorf("code %q, want that of ErrInvalid", m.Header.Get("Nats-Service-Error-Code"))
	}
}

// TestRequestIDCrossesTheBus: the handler's lines carry the id of the HTTP request that asked.
func TestRequestIDCrossesTheBus(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.handle(b.service(), func(ctx context.Context, _ *text) (*text, error) {
		return wrapperspb.String(observe.RequestID(ctx)), nil
	})
	ctx, id := observe.WithRequestID(t.Context(), "r-1")
	if got, err := b.call(ctx, "x"); err != nil || got != id {
		t.Errorf("the handler's request id = %q, %v, want %q", got, err, id)
	}
	if got, err := b.call(t.Context(), "x"); err != nil || got != "" {
		t.Errorf("without a request, the id = %q, %v", got, err)
	}
}

func TestUnknownCodeIsAnError(t *testing.T) {
	t.Parallel()
	if err := rpc.FromCode("from_the_future", "sorry"); err == nil || !strings.Contains(err.Error(), "sorry") {
		t.Errorf("FromCode = %v", err)
	}
	for _, err := range []error{context.DeadlineExceeded, context.Canceled} {
		if got := rpc.Code(fmt.Errorf("x: %w", err)); got != "unavailable" {
			t.Errorf("Code(%v) = %s", err, got)
		}
	}
}

func TestCallKeepsItsDeadline(t *testing.T) {
	t.Parallel()
	b := setup(t)
	release := make(chan struct{})
	defer close(release)
	b.handle(b.service(), func(_ context.Context, req *text) (*text, error) {
		<-release
		return req, nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := b.call(ctx, "x"); !errors.Is(err, build.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("call = %v, want ErrUnavailable for the deadline", err)
	}
}

func TestCallWaitsForAService(t *testing.T) {
	t.Parallel()
	b := setup(t)
	type result struct {
		said string
		err  error
	}
	got := make(chan result, 1)
	go func() {
		said, err := b.call(t.Context(), "hello")
		got <- result{said, err}
	}()
	b.handle(b.service(), func(_ context.Context, req *text) (*text, error) { return req, nil })
	if r := <-got; r.err != nil || r.said != "hello" {
		t.Errorf("call = %q, %v", r.said, r.err)
	}
}

func TestCallWithNobodyThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := b.call(ctx, "x"); !errors.Is(err, build.ErrUnavailable) {
		t.Errorf("call = %v, want ErrUnavailable", err)
	}
	if ctx.Err() == nil {
		t.Error("gave up before its deadline")
	}
}

func TestWorkerComesFromTheSubject(t *testing.T) {
	t.Parallel()
	b := setup(t)
	err := rpc.HandleWorker(b.service(), "who", func(_ context.Context, worker string, _ *text) (*text, error) {
		return wrapperspb.String(worker), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got text
	if err := rpc.Call(t.Context(), b.nc, bus.WorkerRequestSubject("echo", "who", "w1"), wrapperspb.String("w2"), &got); err != nil || got.GetValue() != "w1" {
		t.Errorf("worker = %q, %v, want w1", got.GetValue(), err)
	}
}

// TestForeignReplyIsNotAnswered: NATS does not check reply subjects, so the service does.
func TestForeignReplyIsNotAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	handled := make(chan string, 10)
	err := rpc.HandleWorker(b.service(), "who", func(_ context.Context, worker string, req *text) (*text, error) {
		handled <- req.GetValue()
		return wrapperspb.String(worker), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	subject := bus.WorkerRequestSubject("echo", "who", "w1")
	if err := rpc.Call(t.Context(), b.nc, subject, &text{}, &text{}); err != nil { // it listens
		t.Fatal(err)
	}
	<-handled
	answers := make(chan *nats.Msg, 100)
	if _, err := b.nc.ChanSubscribe(">", answers); err != nil {
		t.Fatal(err)
	}
	own := bus.InboxPrefix("w1") + ".1"
	for _, reply := range []string{
		bus.QueueSubject("default", "ios", "b1", 1), bus.KeySubject(bus.WorkerKey("w2")), bus.ControlSubject("w2"),
		bus.InboxPrefix("w2") + ".1", bus.InboxPrefix("w12") + ".1", own,
	} {
		if err := b.nc.PublishRequest(subject, reply, nil); err != nil {
			t.Fatal(err)
		}
	}
	for {
		select {
		case m := <-answers:
			if m.Subject == subject {
				continue
			}
			if m.Subject == own {
				if len(handled) != 1 {
					t.Errorf("%d requests handled, want the one with its own inbox", len(handled))
				}
				return
			}
			t.Errorf("answered to %s", m.Subject)
		case <-time.After(10 * time.Second):
			t.Fatal("the rightful request was not answered")
		}
	}
}

func TestRequestsRunSideBySide(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 100
	var met sync.WaitGroup
	met.Add(n)
	b.handle(b.service(), func(_ context.Context, req *text) (*text, error) {
		met.Done()
		met.Wait() // every one waits for all: one after the other would never end
		return req, nil
	})
	errs := make(chan error, n)
	for i := range n {
		go func() {
			said, err := b.call(t.Context(), fmt.Sprint(i))
			if err == nil && said != fmt.Sprint(i) {
				err = fmt.Errorf("got %s, want %d", said, i)
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// TestStopWaits: what is under way is finished and answered; another replica takes what comes later.
func TestStopWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	entered, release := make(chan struct{}), make(chan struct{})
	first := b.service()
	b.handle(first, func(_ context.Context, req *text) (*text, error) {
		close(entered)
		<-release
		return req, nil
	})
	answered := make(chan error, 1)
	go func() {
		_, err := b.call(t.Context(), "slow")
		answered <- err
	}()
	<-entered
	var stopped atomic.Bool
	done := make(chan struct{})
	go func() {
		b.stop(first)
		stopped.Store(true)
		b.stop(first) // harmless
		close(done)
	}()
	second := b.service()
	b.handle(second, func(context.Context, *text) (*text, error) { return wrapperspb.String("second"), nil })
	for { // until the first has left the queue group its requests wait behind the slow one
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		said, err := b.call(ctx, "quick")
		cancel()
		if err == nil && said == "second" {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("the second replica never answered")
		}
	}
	if stopped.Load() {
		t.Error("Stop returned with a request under way")
	}
	close(release)
	if err := <-answered; err != nil {
		t.Errorf("the request under way: %v", err)
	}
	<-done
}

// TestStopCancelsInTheEnd: a handler that does not finish is cancelled when the patience is over.
func TestStopCancelsInTheEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	entered := make(chan struct{})
	s := b.service()
	b.handle(s, func(ctx context.Context, _ *text) (*text, error) {
		close(entered)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	answered := make(chan error, 1)
	go func() {
		_, err := b.call(t.Context(), "stuck")
		answered <- err
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("Stop = %v", err)
	}
	if err := <-answered; !errors.Is(err, build.ErrUnavailable) {
		t.Errorf("call = %v, want ErrUnavailable", err)
	}
}
