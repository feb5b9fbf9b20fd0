package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

const (
	// calloutSubject is where a NATS server asks who a connection is, calloutAudience whom it then addresses.
	calloutSubject  = "$SYS.REQ.USER.AUTH"
	calloutAudience = "nats-authorization-request"
	// serverXKeyHeader carries the server's curve key when questions are sealed.
	serverXKeyHeader = "Nats-Server-Xkey"

	// lookupTimeout is within the 2 s that the server waits for an answer.
	lookupTimeout = 1500 * time.Millisecond
	// defaultTTL outlives a short outage of the callout: who is in stays in.
	defaultTTL = time.Hour
	// Lookups at once, and questions waiting for one. What waits longer than the server does is answered for nobody.
	maxLookups, maxQuestions = 64, 4096
	// maxSubs is far above what a worker needs (its inbox, its orders) and keeps a hostile one from filling the server.
	maxSubs = 100
)

// Callout answers for every connection to the bus that is not a service's: it looks the worker up, checks its secret, and
// issues a user JWT that lives for about TTL and names only the worker's own subjects. Replicas share the questions.
type Callout struct {
	// Conn is a service's connection in the account that the server sends its questions to.
	Conn *nats.Conn
	// Issuer is the account key whose public half the server trusts.
	Issuer nkeys.KeyPair
	// XKey is the curve key with which questions and answers are sealed; the server must know its public half. nil leaves
	// them readable to every listener inside the account.
	XKey nkeys.KeyPair
	// Account that workers are placed into.
	Account string
	// Lookup finds a worker by its id, which is a stranger's text. An unknown one is an error; so is a store that does not
	// answer. It must be safe for concurrent use.
	Lookup func(ctx context.Context, id string) (Worker, error)
	// TTL of a connection; the server cuts it then and the client's reconnect asks anew. 0 means 1 h. Up to a tenth is taken
	// off at random, so that workers that came together (after a restart) do not leave and return together.
	TTL time.Duration
	Log *slog.Logger
}

// Run answers until ctx ends, and then finishes the answers it has begun.
func (c Callout) Run(ctx context.Context) error {
	questions := make(chan *nats.Msg, maxQuestions)
	sub, err := c.Conn.ChanQueueSubscribe(calloutSubject, "callout", questions)
	if err != nil {
		return fmt.Errorf("answer the bus's questions: %w", err)
	}
	c.serve(ctx, questions)
	if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("stop answering the bus's questions: %w", err)
	}
	return nil
}

func (c Callout) serve(ctx context.Context, questions <-chan *nats.Msg) {
	var running sync.WaitGroup
	defer running.Wait()
	gate := make(chan struct{}, maxLookups)
	for {
		select {
		case <-ctx.Done():
			return
		case gate <- struct{}{}:
		}
		select {
		case <-ctx.Done():
			return
		case m := <-questions:
			running.Go(func() {
				defer func() { <-gate }()
				c.answer(context.WithoutCancel(ctx), m)
			})
		}
	}
}

func (c Callout) answer(ctx context.Context, m *nats.Msg) {
	req, err := c.read(m)
	if err != nil {
		c.Log.ErrorContext(ctx, "decode auth callout failed", "err", err)
		return
	}
	resp := jwt.NewAuthorizationResponseClaims(req.UserNkey)
	resp.Audience = req.Server.ID
	if resp.Jwt, err = c.admit(ctx, req); err != nil {
		// The reason stays here: the client learns only that it is refused.
		c.Log.WarnContext(ctx, "connection to the bus refused", "worker_id", printable(req.ConnectOptions.Username),
			"host", req.ClientInformation.Host, "err", err)
		resp.Error = "not authorized"
	}
	if err := c.respond(m, resp); err != nil {
		c.Log.ErrorContext(ctx, "answer auth callout failed", "err", err)
	}
}

// read opens and checks a question: signed by the very server it names, meant for us, not stale.
func (c Callout) read(m *nats.Msg) (*jwt.AuthorizationRequestClaims, error) {
	data := m.Data
	if c.XKey != nil {
		var err error
		if data, err = c.XKey.Open(data, m.Header.Get(serverXKeyHeader)); err != nil {
			return nil, fmt.Errorf("unseal: %w", err)
		}
	}
	req, err := jwt.DecodeAuthorizationRequestClaims(string(data))
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	vr := jwt.CreateValidationResults()
	req.Validate(vr)
	if vr.IsBlocking(true) || req.Audience != calloutAudience || req.Issuer != req.Server.ID {
		return nil, errors.New("not a server's question, or stale")
	}
	return req, nil
}

func (c Callout) respond(m *nats.Msg, resp *jwt.AuthorizationResponseClaims) error {
	text, err := resp.Encode(c.Issuer)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	data := []byte(text)
	if c.XKey != nil {
		if data, err = c.XKey.Seal(data, m.Header.Get(serverXKeyHeader)); err != nil {
			return fmt.Errorf("seal: %w", err)
		}
	}
	if err := m.Respond(data); err != nil {
		return fmt.Errorf("respond: %w", err)
	}
	return nil
}

// printable bounds what a stranger can write into our log.
func printable(s string) string { return fmt.Sprintf("%.64q", s) }

func (c Callout) admit(ctx context.Context, req *jwt.AuthorizationRequestClaims) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	id := req.ConnectOptions.Username
	if err := validWorker(id); err != nil {
		return "", err
	}
	w, err := c.Lookup(ctx, id)
	if err != nil {
		return "", fmt.Errorf("look the worker up: %w", err)
	}
	switch {
	case w.ID != id:
		return "", fmt.Errorf("%w: the lookup gave another worker", ErrWorker)
	case !Matches(req.ConnectOptions.Password, w.SecretHash):
		return "", fmt.Errorf("%w: wrong secret", ErrWorker)
	case w.Revoked:
		return "", fmt.Errorf("%w: revoked", ErrWorker)
	}
	return c.issue(w, req.UserNkey)
}

// issue signs the JWT of one connection; userKey is the server's one-time name for it.
func (c Callout) issue(w Worker, userKey string) (string, error) {
	p, err := Permissions(w)
	if err != nil {
		return "", err
	}
	user := jwt.NewUserClaims(userKey)
	user.Name, user.Audience = w.ID, c.Account
	user.Permissions = p
	user.Subs = maxSubs
	user.AllowedConnectionTypes.Add(jwt.ConnectionTypeStandard, jwt.ConnectionTypeWebsocket, jwt.ConnectionTypeInProcess)
	ttl := c.TTL
	if ttl <= 0 {
		ttl = defaultTTL
	}
	user.Expires = time.Now().Add(ttl - rand.N(ttl/10+1)).Unix()
	token, err := user.Encode(c.Issuer)
	if err != nil {
		return "", fmt.Errorf("sign the worker's credentials: %w", err)
	}
	return token, nil
}
