package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/observe"
)

// CloudEvents header names in the NATS protocol binding, and the de-duplication id.
const (
	HeaderID          = "ce-id"
	HeaderType        = "ce-type"
	HeaderSource      = "ce-source"
	HeaderTime        = "ce-time"
	HeaderSpecVersion = "ce-specversion"
	HeaderContentType = "content-type"
	// HeaderRequestID is the id of the HTTP request that a request or an event is due to.
	HeaderRequestID = observe.RequestIDHeader
)

// traceContext carries the W3C traceparent and tracestate headers.
var traceContext propagation.TraceContext //nolint:gochecknoglobals // stateless

// Message is a fact ready to be published: what an outbox stores and a relay sends.
type Message struct {
	// ID becomes Nats-Msg-Id: the same id published twice is stored once.
	ID      string
	Subject string
	Header  map[string]string
	Payload []byte
}

// NewMessage packs a protobuf fact with its CloudEvents headers and the trace of ctx. source names the publishing service.
// The id is random unless WithID is used on the result.
func NewMessage(ctx context.Context, source, subject string, at time.Time, fact proto.Message) (Message, error) {
	payload, err := proto.Marshal(fact)
	if err != nil {
		return Message{}, fmt.Errorf("pack %s: %w", fact.ProtoReflect().Descriptor().FullName(), err)
	}
	id := build.NewID()
	h := propagation.MapCarrier{
		HeaderSpecVersion: "1.0",
		HeaderID:          id,
		HeaderType:        string(fact.ProtoReflect().Descriptor().FullName()),
		HeaderSource:      "/freeagent/" + source,
		HeaderTime:        at.UTC().Format(time.RFC3339Nano),
		HeaderContentType: "application/protobuf",
	}
	traceContext.Inject(ctx, h)
	if request := observe.RequestID(ctx); request != "" {
		h[HeaderRequestID] = request
	}
	return Message{ID: id, Subject: subject, Header: h, Payload: payload}, nil
}

// WithID replaces the id, for facts whose identity is known (a hand-out is build and attempt).
func (m Message) WithID(id string) Message {
	m.ID = id
	m.Header[HeaderID] = id
	return m
}

// NATS returns the message as nats.go sends it.
func (m Message) NATS() *nats.Msg {
	msg := nats.NewMsg(m.Subject)
	for k, v := range m.Header {
		msg.Header.Set(k, v)
	}
	msg.Header.Set(nats.MsgIdHdr, m.ID)
	msg.Data = m.Payload
	return msg
}

// headerCarrier lets the propagator read and write NATS headers.
type headerCarrier nats.Header

func (c headerCarrier) Get(k string) string { return nats.Header(c).Get(k) }
func (c headerCarrier) Set(k, v string)     { nats.Header(c).Set(k, v) }
func (c headerCarrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	return keys
}

// WithTrace continues the trace that a message's headers carry.
func WithTrace(ctx context.Context, h nats.Header) context.Context {
	return traceContext.Extract(ctx, headerCarrier(h))
}

// InjectTrace writes the trace of ctx into headers.
func InjectTrace(ctx context.Context, h nats.Header) { traceContext.Inject(ctx, headerCarrier(h)) }
