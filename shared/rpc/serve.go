package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/proto-events/natsrpc"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/observe"
	"github.com/expo-free-agent/freeagent/shared/outage"
)

// maxInFlight bounds the requests that one replica handles at once; more wait in the subscription's buffer.
const maxInFlight = 256

// Service answers requests on fa.<name>.*. Replicas of the same name share them. Make it with NewService, add handlers
// with Handle and HandleWorker, end it with Stop.
type Service struct {
	name   string
	nc     *nats.Conn
	micro  micro.Service
	ctx    context.Context // the life of the service, given to each handler
	cancel context.CancelFunc
	log    *slog.Logger
	// gate holds a token for each request under way; Stop takes them all.
	gate    chan struct{}
	timeout time.Duration
	stop    sync.Once
	stopErr error
}

// flushTime is ample for a round trip to a bus that is there.
const flushTime = time.Second

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
		name: name, nc: nc, micro: m, ctx: ctx, cancel: cancel, log: log,
		gate: make(chan struct{}, maxInFlight), timeout: 30 * time.Second,
	}, nil
}

// Stop takes no new requests and waits for those under way; after ctx ends they are cancelled. A second call waits for the
// first and returns the same.
func (s *Service) Stop(ctx context.Context) error {
	s.stop.Do(func() { s.stopErr = s.drain(ctx) })
	return s.stopErr
}

func (s *Service) drain(ctx context.Context) error {
	defer s.cancel()
	hard := context.AfterFunc(ctx, s.cancel)
	defer hard()
	err := s.micro.Stop()
	// After the round trip every request that the server gave us is here, waiting for the gate or past it.
	if ferr := s.nc.FlushTimeout(flushTime); ferr != nil {
		s.log.DebugContext(ctx, "stopping while the bus is unavailable", "err", ferr)
	}
	for range cap(s.gate) {
		s.gate <- struct{}{}
	}
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

// Handle implements natsrpc.Registrar. A worker's id is taken from the subject: the one thing in the request that NATS permissions
// vouch for.
func (s *Service) Handle(m natsrpc.Method, h natsrpc.Handler) error {
	if m.Service != s.name {
		return fmt.Errorf("serve %s.%s: %w", m.Service, m.Name, errOtherService)
	}
	if !m.ByWorker {
		return s.add(m.Name, bus.RequestSubject(s.name, m.Name), func(ctx context.Context, r micro.Request) (proto.Message, error) {
			return h(ctx, "", decoder(r))
		})
	}
	subject := bus.WorkerRequestSubject(s.name, m.Name, "*")
	return s.add(m.Name+"-worker", subject, func(ctx context.Context, r micro.Request) (proto.Message, error) {
		worker := r.Subject()[strings.LastIndexByte(r.Subject(), '.')+1:]
		if !build.ValidID(worker) {
			return nil, fmt.Errorf("%w: worker id %q", build.ErrInvalid, worker)
		}
		if !replyIsOwn(r.Reply(), worker) {
			return nil, errReply
		}
		return h(ctx, worker, decoder(r))
	})
}

var errOtherService = errors.New("method of another service")

// decoder unpacks a request.
func decoder(r micro.Request) func(proto.Message) error {
	return func(req proto.Message) error {
		if err := bus.Decode(r.Data(), req); err != nil {
			return fmt.Errorf("%w: unpack request: %w", build.ErrInvalid, err)
		}
		return nil
	}
}

// Handle answers the one request fa.<service>.<verb> with fn. Services register all of theirs by the generated code of proto-events.
func Handle[Req any, PReq message[Req], Resp proto.Message](
	s *Service, verb string, fn func(context.Context, PReq) (Resp, error),
) error {
	return handle(s, natsrpc.Method{Service: s.name, Name: verb}, func(ctx context.Context, _ string, req PReq) (Resp, error) { return fn(ctx, req) })
}

// HandleWorker answers the one request fa.<service>.<verb>.<worker> with fn.
func HandleWorker[Req any, PReq message[Req], Resp proto.Message](
	s *Service, verb string, fn func(context.Context, string, PReq) (Resp, error),
) error {
	return handle(s, natsrpc.Method{Service: s.name, Name: verb, ByWorker: true}, fn)
}

func handle[Req any, PReq message[Req], Resp proto.Message](
	s *Service, m natsrpc.Method, fn func(context.Context, string, PReq) (Resp, error),
) error {
	return s.Handle(m, func(ctx context.Context, worker string, decode func(proto.Message) error) (proto.Message, error) {
		req := PReq(new(Req))
		if err := decode(req); err != nil {
			return nil, err
		}
		return fn(ctx, worker, req)
	})
}

// errReply: a request whose answer would go to somebody else. It is not answered at all.
var errReply = errors.New("reply subject is not the caller's inbox")

// replyIsOwn says whether an answer may go to reply. NATS checks the subjects that a worker publishes to and not the reply
// subjects that it names there: without this a worker would make us publish our answer where it may not itself, such as
// into the queue or another's heartbeat. Services that speak for a worker have plain inboxes.
func replyIsOwn(reply, worker string) bool {
	return strings.HasPrefix(reply, bus.InboxPrefix(worker)+".") || strings.HasPrefix(reply, nats.InboxPrefix)
}

func (s *Service) add(
	name, subject string, fn func(context.Context, micro.Request) (proto.Message, error),
) error {
	h := micro.HandlerFunc(func(r micro.Request) {
		select {
		case s.gate <- struct{}{}:
		case <-s.ctx.Done():
			s.refuse(s.ctx, r, build.ErrUnavailable)
			return
		}
		go func() { // owned by the gate: Stop waits until it has every token
			defer func() { <-s.gate }()
			s.answer(r, fn)
		}()
	})
	if err := s.micro.AddEndpoint(name, h, micro.WithEndpointSubject(subject)); err != nil {
		return fmt.Errorf("serve %s: %w", subject, err)
	}
	return nil
}

func (s *Service) answer(r micro.Request, fn func(context.Context, micro.Request) (proto.Message, error)) {
	ctx, cancel := context.WithTimeout(bus.WithTrace(s.ctx, nats.Header(r.Headers())), s.timeout)
	defer cancel()
	if id := nats.Header(r.Headers()).Get(bus.HeaderRequestID); build.ValidID(id) { // a stranger's text stays out of our log
		ctx, _ = observe.WithRequestID(ctx, id)
	}
	resp, err := guard(ctx, r, fn)
	if errors.Is(err, errReply) {
		s.log.Warn("answer request failed", "subject", r.Subject(), "reply", r.Reply(), "err", err)
		return
	}
	var data []byte
	if err == nil {
		data, err = proto.Marshal(resp)
	}
	if err != nil {
		s.refuse(ctx, r, err)
		return
	}
	s.send(&nats.Msg{Subject: r.Reply(), Data: data})
}

// guard turns a handler's panic into an internal error: one bad request must not end the others.
func guard(
	ctx context.Context, r micro.Request, fn func(context.Context, micro.Request) (proto.Message, error),
) (resp proto.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return fn(ctx, r)
}

// refuse sends a sentinel's text as it is; the text of any other error stays in the log.
func (s *Service) refuse(ctx context.Context, r micro.Request, err error) {
	code, text := Code(err), err.Error()
	switch {
	case code == build.CodeInternal:
		s.log.ErrorContext(ctx, "request failed", "subject", r.Subject(), "err", err)
		text = "internal error in " + s.name
	case outage.IsDiskFull(err):
		s.log.WarnContext(ctx, "request refused: disk full", "subject", r.Subject(), "err", err)
		text = outage.MsgDiskFull
	case build.Code(err) == build.CodeInternal: // what is away has an address that is no user's business
		s.log.WarnContext(ctx, "request refused: dependency unavailable", "subject", r.Subject(), "err", err)
		text = s.name + " does not reach what it needs right now; try again in a few seconds"
	}
	s.send(&nats.Msg{Subject: r.Reply(), Header: nats.Header{
		micro.ErrorCodeHeader: []string{code}, micro.ErrorHeader: []string{text},
	}})
}

// send answers past micro.Request, whose methods may be called only until its handler has returned.
func (s *Service) send(m *nats.Msg) {
	if m.Subject == "" {
		return // nobody waits
	}
	if err := s.nc.PublishMsg(m); err != nil {
		s.log.Error("send response failed", "service", s.name, "err", err)
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
