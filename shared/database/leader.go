package database

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// On PostgreSQL the relays of a schema elect one by an advisory lock, held by a connection of its own (a session). The
// active relay also listens on that connection, so it learns at once when the connection, and with it the lock, is gone.
//
// Should a relay that lost its lock still be publishing a batch beside its successor, order holds: it sends only messages
// that the successor sends too or that are removed already, so the bus has their IDs and drops them.
//
// The others pass on by NOTIFY that they emitted, and hear by NOTIFY when it is published, for their Flush.
const (
	emitted   = "emitted"
	published = "published"
	// standbyPoll is how soon a relay on standby notices that the active one has gone.
	standbyPoll = time.Second
	// sessionTimeout bounds each call on a session, but for waiting.
	sessionTimeout = 5 * time.Second
)

func (db *DB) channel() string { return "freeagent_outbox_" + db.service }

// tell notifies the relays of the schema. A lost word costs a second: everyone looks that often anyway.
func (r *Relay) tell(ctx context.Context, word string) {
	ctx, cancel := context.WithTimeout(ctx, sessionTimeout)
	defer cancel()
	if _, err := r.db.write.ExecContext(ctx, "SELECT pg_notify($1, $2)", r.db.channel(), word); err != nil {
		r.log.DebugContext(ctx, "notify other relays failed", "word", word, "err", err)
	}
}

// term is a time on standby followed by a time as the active relay.
func (r *Relay) term(ctx context.Context) error {
	s, err := r.openSession(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if err := r.standBy(ctx, s); err != nil {
		return err
	}
	return r.lead(ctx, s)
}

// standBy returns when this relay is the active one.
func (r *Relay) standBy(ctx context.Context, s *session) error {
	if got, err := s.tryLock(ctx); err != nil || got {
		return err
	}
	stop := r.passOn(ctx)
	defer stop()
	for {
		if err := r.settleByTable(ctx); err != nil {
			return err
		}
		if err := s.await(ctx, published, standbyPoll); err != nil {
			return err
		}
		if got, err := s.tryLock(ctx); err != nil || got {
			return err
		}
	}
}

// passOn tells the active relay of this process's commits until stop, which waits for its end.
func (r *Relay) passOn(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	r.db.emits.wake() // for what was committed before
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-r.db.emits.woken:
				r.tell(ctx, emitted)
			}
		}
	}()
	return func() { cancel(); <-done }
}

// settleByTable ends the waits for messages that are no longer in the outbox: another relay has published them.
func (r *Relay) settleByTable(ctx context.Context) error {
	if !r.flushes.any() {
		return nil
	}
	reached := r.db.emits.mark()
	oldest, err := r.db.oldestWaiting(ctx)
	if err != nil {
		return err
	}
	reached.seq = oldest - 1
	r.flushes.settle(reached)
	return nil
}

// lead relays until ctx ends or the session is lost.
func (r *Relay) lead(ctx context.Context, s *session) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		cancel(s.listen(ctx, func() { r.asked.Store(true); r.db.emits.wake() }))
	}()
	err := r.relay(ctx)
	if err == nil {
		err = context.Cause(ctx)
	}
	cancel(nil)
	<-watched
	return err
}

// session is the relay's connection, outside of the pool: so the smallest pool will do, and no pool hands it to others
// with the lock on it. It is not safe for concurrent use.
type session struct {
	conn *pgx.Conn
	key  int64
}

func (r *Relay) openSession(ctx context.Context) (*session, error) {
	cfg := r.db.session.Copy()
	cfg.RuntimeParams["application_name"] += "-relay"
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, explainPostgres(cfg, err)
	}
	s := &session{conn: conn, key: lockKey("relay " + r.db.service)}
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{r.db.channel()}.Sanitize()); err != nil {
		s.close()
		return nil, fmt.Errorf("relay: listen: %w", err)
	}
	return s, nil
}

// close frees the lock with the connection.
func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), sessionTimeout)
	defer cancel()
	s.conn.Close(ctx)
}

func (s *session) tryLock(ctx context.Context) (got bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, sessionTimeout)
	defer cancel()
	if err := s.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", s.key).Scan(&got); err != nil {
		return false, fmt.Errorf("relay's lock: %w", err)
	}
	return got, nil
}

// await returns nil when someone says word, and after d.
func (s *session) await(ctx context.Context, word string, d time.Duration) error {
	timed, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		n, err := s.conn.WaitForNotification(timed)
		switch {
		case err == nil && n.Payload == word:
			return nil
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && timed.Err() != nil && !s.conn.IsClosed():
			return nil
		case err != nil:
			return fmt.Errorf("relay's session: %w", err)
		}
	}
}

// errSessionLost tells the end of an active relay whose lock is gone.
var errSessionLost = errors.New("the relay's session is lost, and its lock with it")

// listen calls hear whenever another process has emitted, until ctx or the session ends.
func (s *session) listen(ctx context.Context, hear func()) error {
	for {
		n, err := s.conn.WaitForNotification(ctx)
		switch {
		case err == nil && n.Payload == emitted:
			hear()
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("%w: %w", errSessionLost, err)
		}
	}
}
