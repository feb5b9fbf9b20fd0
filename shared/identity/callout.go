package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// calloutSubject is where a NATS server asks who a connection is.
const calloutSubject = "$SYS.REQ.USER.AUTH"

// Callout answers for every connection to the bus that is not a service's: it looks the worker up, checks its secret, and
// issues a user JWT that lives for TTL and names only the worker's own subjects. Replicas share the questions.
type Callout struct {
	// Conn is a service's connection in the account that the server sends its questions to.
	Conn *nats.Conn
	// Issuer is the account key whose public half the server trusts.
	Issuer nkeys.KeyPair
	// Account that workers are placed into.
	Account string
	// Lookup finds a worker by its id. An unknown one is an error.
	Lookup func(ctx context.Context, id string) (Worker, error)
	// TTL of a connection; the server cuts it then and the client's reconnect asks anew. 0 means 1 h.
	TTL time.Duration
	Log *slog.Logger
}

// lookupTimeout is within the 2 s that the server waits for an answer.
const lookupTimeout = 1500 * time.Millisecond

// Run answers until ctx ends.
func (c Callout) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	gate := make(chan struct{}, 64)
	sub, err := c.Conn.QueueSubscribe(calloutSubject, "callout", func(m *nats.Msg) {
		gate <- struct{}{}
		running.Go(func() {
			defer func() { <-gate }()
			c.answer(ctx, m)
		})
	})
	if err != nil {
		return fmt.Errorf("answer the bus's questions: %w", err)
	}
	<-ctx.Done()
	if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("stop answering the bus's questions: %w", err)
	}
	return nil
}

func (c Callout) answer(ctx context.Context, m *nats.Msg) {
	req, err := jwt.DecodeAuthorizationRequestClaims(string(m.Data))
	if err != nil {
		c.Log.ErrorContext(ctx, "question of the bus cannot be read", "err", err)
		return
	}
	resp := jwt.NewAuthorizationResponseClaims(req.UserNkey)
	resp.Audience = req.Server.ID
	if resp.Jwt, err = c.admit(ctx, req); err != nil {
		// The reason stays here: whoever knocks learns only that the door is shut.
		c.Log.WarnContext(ctx, "connection to the bus refused", "worker_id", printable(req.ConnectOptions.Username),
			"host", req.ClientInformation.Host, "err", err)
		resp.Error = "not authorized"
	}
	data, err := resp.Encode(c.Issuer)
	if err == nil {
		err = m.Respond([]byte(data))
	}
	if err != nil {
		c.Log.ErrorContext(ctx, "answer to the bus not sent", "err", err)
	}
}

// printable bounds what a stranger can write into our log.
func printable(s string) string { return fmt.Sprintf("%.64q", s) }

var errSecret = errors.New("unknown worker or wrong secret")

func (c Callout) admit(ctx context.Context, req *jwt.AuthorizationRequestClaims) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	w, err := c.Lookup(ctx, req.ConnectOptions.Username)
	if err != nil {
		return "", fmt.Errorf("look the worker up: %w", err)
	}
	if w.Revoked || !Matches(req.ConnectOptions.Password, w.SecretHash) {
		return "", errSecret
	}
	user := jwt.NewUserClaims(req.UserNkey)
	user.Name, user.Audience = w.ID, c.Account
	ttl := c.TTL
	if ttl == 0 {
		ttl = time.Hour
	}
	user.Expires = time.Now().Add(ttl).Unix()
	user.Permissions = permissions(w)
	token, err := user.Encode(c.Issuer)
	if err != nil {
		return "", fmt.Errorf("sign the worker's credentials: %w", err)
	}
	return token, nil
}
