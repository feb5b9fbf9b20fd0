package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// maxInFlight bounds the requests that one replica handles at once; more wait in the subscription's buffer.
const maxInFlight = 256

// Service answers requests on fa.<name>.*. Replicas of the same name share them. Make it with NewService, add handlers
// with Handle and HandleWorker, end it with Stop.
type Service struct {
	name    string
	micro   micro.Service
	ctx     context.Context //nolint:containedctx // the life of the service, given to each handler
	cancel  context.CancelFunc
	log     *slog.Logger
	gate    chan struct{}
	running sync.WaitGroup
	timeout time.Duration
}

// semver: micro refuses anything else.
var semver = regexp.MustCompile(`^v?(\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?)`)

// NewService registers name on the bus. version is shown to operators; one that is not semantic shows as 0.0.0.
func NewService(nc *nats.Conn, name, version string, log *slog.Logger) (*Service, error) {
	v := "0.0.0"
	if m := semver.FindStringSubmatch(version); m != nil {
		v = m[1]
	}
	m, err := micro.AddService(nc, micro.Config{Name: name, Version: v, Description: "Free Agent " + name})
	if err != nil {
		return nil, fmt.Errorf("register service %s: %w", name, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Service{
		name: name, micro: m, ctx: ctx, cancel: cancel, log: log,
		gate: make(chan struct{}, maxInFlight), timeout: 30 * time.Second,
	}, nil
}

// Stop takes no new requests and waits for those under way; after ctx ends they are cancelled.
func (s *Service) Stop(ctx context.Context) error {
	err := s.micro.Stop()
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
	s.cancel()
	<-done
	if err != nil {
		return fmt.Errorf("stop service %s: %w", s.name, err)
	}
	return nil
}

// message is a pointer to a protobuf struct, so that handlers can be generic over both.
type message[T any] interface {
	*T
	proto.Message
}

// Handle answers fa.<service>.<verb> with fn.
func Handle[Req any, PReq message[Req], Resp proto.Message](
	s *Service, verb string, fn func(context.Context, PReq) (Resp, error),
) error {
	return s.add(verb, bus.RequestSubject(s.name, verb), func(ctx context.Context, r micro.Request) (proto.Message, error) {
		return decodeAndCall(ctx, r, fn)
	})
}

// HandleWorker answers fa.<service>.<verb>.<worker> with fn, which gets the worker's id from the subject: the one thing in
// the request that NATS permissions vouch for.
func HandleWorker[Req any, PReq message[Req], Resp proto.Message](
	s *Service, verb string, fn func(context.Context, string, PReq) (Resp, error),
) error {
	subject := bus.WorkerRequestSubject(s.name, verb, "*")
	return s.add(verb+"-worker", subject, func(ctx context.Context, r micro.Request) (proto.Message, error) {
		worker := r.Subject()[strings.LastIndexByte(r.Subject(), '.')+1:]
		if !build.ValidID(worker) {
			return nil, fmt.Errorf("%w: worker id %q", build.ErrInvalid, worker)
		}
		return decodeAndCall(ctx, r, func(ctx context.Context, req PReq) (Resp, error) { return fn(ctx, worker, req) })
	})
}

func decodeAndCall[Req any, PReq message[Req], Resp proto.Message](
	ctx context.Context, r micro.Request, fn func(context.Context, PReq) (Resp, error),
) (proto.Message, error) {
	req := PReq(new(Req))
	if err := proto.Unmarshal(r.Data(), req); err != nil {
		return nil, fmt.Errorf("%w: unpack request: %w", build.ErrInvalid, err)
	}
	return fn(ctx, req)
}

func (s *Service) add(
	name, subject string, fn func(context.Context, micro.Request) (proto.Message, error),
) error {
	h := micro.HandlerFunc(func(r micro.Request) {
		s.gate <- struct{}{}
		s.running.Go(func() {
			defer func() { <-s.gate }()
			s.answer(r, fn)
		})
	})
	if err := s.micro.AddEndpoint(name, h, micro.WithEndpointSubject(subject)); err != nil {
		return fmt.Errorf("serve %s: %w", subject, err)
	}
	return nil
}

func (s *Service) answer(r micro.Request, fn func(context.Context, micro.Request) (proto.Message, error)) {
	ctx, cancel := context.WithTimeout(bus.WithTrace(s.ctx, nats.Header(r.Headers())), s.timeout)
	defer cancel()
	resp, err := fn(ctx, r)
	if err != nil {
		s.refuse(r, err)
		return
	}
	data, err := proto.Marshal(resp)
	if err == nil {
		err = r.Respond(data)
	}
	if err != nil {
		s.log.Error("answer not sent", "subject", r.Subject(), "err", err)
	}
}

// refuse sends a sentinel's text as it is; the text of any other error stays in the log.
func (s *Service) refuse(r micro.Request, err error) {
	code, text := Code(err), err.Error()
	if code == build.CodeInternal {
		s.log.Error("request failed", "subject", r.Subject(), "err", err)
		text = "internal error in " + s.name
	}
	if err := r.Error(code, text, nil); err != nil {
		s.log.Error("refusal not sent", "subject", r.Subject(), "err", err)
	}
}

// drainTime is how long a stopping service lets its requests finish before it cancels them.
const drainTime = 10 * time.Second

// Run registers a service, lets add put its handlers on it, and serves until ctx ends; then it takes no new requests and
// waits for those under way.
func Run(ctx context.Context, nc *nats.Conn, name, version string, log *slog.Logger, add func(*Service) error) error {
	s, err := NewService(nc, name, version, log)
	if err != nil {
		return err
	}
	err = add(s)
	if err == nil {
		<-ctx.Done()
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	return errors.Join(err, s.Stop(stop))
}
