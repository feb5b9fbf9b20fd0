package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/observe"
)

// DefaultTimeout bounds a call whose context has no deadline.
const DefaultTimeout = 5 * time.Second

// Call sends req and decodes the answer into resp. A refusal matches its build sentinel with errors.Is; no answer in time,
// or nobody there to answer, is build.ErrUnavailable. While nobody listens (a service restarts) it tries again until the
// deadline: requests of ours may arrive twice.
func Call(ctx context.Context, nc *nats.Conn, subject string, req, resp proto.Message) error {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	msg := nats.NewMsg(subject)
	data, err := proto.Marshal(req)
	if err != nil {
		// Invalid UTF-8, the only reason: the same request will never be packed.
		return fmt.Errorf("%w: pack request for %s: %w", build.ErrInvalid, subject, err)
	}
	msg.Data = data
	bus.InjectTrace(ctx, msg.Header)
	if id := observe.RequestID(ctx); id != "" {
		msg.Header.Set(bus.HeaderRequestID, id)
	}
	answer, err := request(ctx, nc, msg)
	if err != nil {
		return err
	}
	if code := answer.Header.Get(micro.ErrorCodeHeader); code != "" {
		return FromCode(code, answer.Header.Get(micro.ErrorHeader))
	}
	if err := bus.Decode(answer.Data, resp); err != nil {
		return fmt.Errorf("unpack answer of %s: %w", subject, err)
	}
	return nil
}

func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, DefaultTimeout)
}

// request repeats while nobody listens or the connection is away, with jitter so that waiting callers do not return as one.
func request(ctx context.Context, nc *nats.Conn, msg *nats.Msg) (*nats.Msg, error) {
	retries := backoff.Retries{First: 10 * time.Millisecond, Most: 500 * time.Millisecond}
	for {
		answer, err := nc.RequestMsgWithContext(ctx, msg)
		switch {
		case err == nil:
			return answer, nil
		case !errors.Is(err, nats.ErrNoResponders):
			return nil, fmt.Errorf("%s: %w (%w)", msg.Subject, build.ErrUnavailable, err)
		}
		if retries.Sleep(ctx) != nil {
			return nil, fmt.Errorf("%s: %w: nobody answers", msg.Subject, build.ErrUnavailable)
		}
	}
}
