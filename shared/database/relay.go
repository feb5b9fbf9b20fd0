package database

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Publisher sends messages in order. done counts the leading ones that are durable at the far end.
type Publisher interface {
	Publish(ctx context.Context, msgs []Message) (done int, err error)
}

const (
	relayBatch = 500
	// relayPoll is the safety net under the signal of a commit, and how another process's messages are found.
	relayPoll = time.Second
	// standbyPoll is how soon a relay notices that the active one has died.
	standbyPoll = time.Second
)

// Relay publishes what transactions emitted: in order, at least once, and removed only when durable at the far end. On
// PostgreSQL one relay of a schema is active at a time and another takes over when it dies. Run it once.
type Relay struct {
	db  *DB
	to  Publisher
	log *slog.Logger

	mu      sync.Mutex
	passes  int64         // batches begun
	reached progress      // by the last batch that is done
	changed chan struct{} // closed and replaced with each
}

// progress: the batch that began as number pass published everything that was visible up to seq.
type progress struct{ pass, seq int64 }

// NewRelay gives the relay of db's outbox.
func NewRelay(db *DB, to Publisher, log *slog.Logger) *Relay {
	return &Relay{db: db, to: to, log: log, changed: make(chan struct{})}
}

// Run publishes until ctx ends; it returns nil then.
func (r *Relay) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		release, err := r.lead(ctx)
		if err == nil {
			err = r.relay(ctx)
			release()
		}
		if err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "outbox relay starts again", "err", err)
			wait(ctx, standbyPoll)
		}
	}
	return nil
}

// errStandby: another relay is active.
var errStandby = errors.New("another relay is active")

// lead waits until this relay is the active one. The lock belongs to a connection of its own: when that or the process
// dies, the server frees it.
func (r *Relay) lead(ctx context.Context) (release func(), err error) {
	if r.db.dialect == SQLite {
		return func() {}, nil
	}
	for {
		release, err = r.tryLead(ctx)
		if !errors.Is(err, errStandby) {
			return release, err
		}
		if wait(ctx, standbyPoll); ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

func (r *Relay) tryLead(ctx context.Context) (func(), error) {
	conn, err := r.db.write.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	key := lockKey("relay " + r.db.service)
	var got bool
	err = conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1)", key).Scan(&got)
	if err != nil || !got {
		if err == nil {
			err = errStandby
		}
		return nil, errors.Join(err, conn.Close())
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", key); err != nil {
			r.log.Warn("relay's lock not given back", "err", err)
		}
		conn.Close() //nolint:errcheck // nothing is left to lose
	}, nil
}

// relay publishes batch after batch; it returns only when ctx ends or the database fails.
func (r *Relay) relay(ctx context.Context) error {
	retry := 50 * time.Millisecond
	for ctx.Err() == nil {
		full, err := r.batch(ctx)
		var far *publishError
		switch {
		case errors.As(err, &far):
			r.log.WarnContext(ctx, "events wait in the outbox: the bus does not take them", "err", far.cause)
			wait(ctx, retry/2+rand.N(retry))
			retry = min(2*retry, 5*time.Second)
			continue
		case err != nil:
			return err
		}
		retry = 50 * time.Millisecond
		if !full {
			r.waitForMore(ctx)
		}
	}
	return nil
}

func (r *Relay) waitForMore(ctx context.Context) {
	t := time.NewTimer(relayPoll)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-r.db.emits.woken:
	case <-t.C:
	}
}

// publishError is the far end's, as against the database's.
type publishError struct{ cause error }

func (e *publishError) Error() string { return e.cause.Error() }
func (e *publishError) Unwrap() error { return e.cause }

// batch publishes and removes up to relayBatch messages, and says whether there may be more.
func (r *Relay) batch(ctx context.Context) (full bool, err error) {
	r.mu.Lock()
	r.passes++
	pass := r.passes
	r.mu.Unlock()
	seqs, msgs, err := r.db.waitingMessages(ctx)
	if err != nil {
		return false, err
	}
	full = len(msgs) == relayBatch
	if len(msgs) > 0 {
		done, err := r.to.Publish(ctx, msgs)
		if e := r.db.remove(ctx, seqs[:done]); e != nil {
			return false, e
		}
		if err != nil {
			return false, &publishError{err}
		}
	}
	reached := progress{pass: pass, seq: math.MaxInt64}
	if full {
		reached.seq = seqs[len(seqs)-1]
	}
	r.mu.Lock()
	r.reached = reached
	close(r.changed)
	r.changed = make(chan struct{})
	r.mu.Unlock()
	return full, nil
}

// Flush waits until what this process's transactions emitted before the call is published, or ctx ends.
func (r *Relay) Flush(ctx context.Context) error {
	target := r.db.emits.latest()
	r.mu.Lock()
	after := r.passes
	r.mu.Unlock()
	for {
		r.mu.Lock()
		reached, changed := r.reached, r.changed
		r.mu.Unlock()
		if reached.pass > after && reached.seq >= target {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("flush the outbox: %w", context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
			// Another process's relay may be the active one: the table tells.
			if left, err := r.db.waitingUpTo(ctx, target); err == nil && !left {
				return nil
			}
		}
	}
}

func (db *DB) waitingUpTo(ctx context.Context, seq int64) (left bool, err error) {
	err = db.Read().QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM outbox WHERE seq <= $1)", seq).Scan(&left)
	return left, err //nolint:wrapcheck // only looked at
}

func (db *DB) waitingMessages(ctx context.Context) (seqs []int64, msgs []Message, err error) {
	rows, err := db.Read().QueryContext(ctx, "SELECT seq, id, subject, header, payload FROM outbox ORDER BY seq LIMIT $1", relayBatch)
	if err != nil {
		return nil, nil, fmt.Errorf("read the outbox: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		seq, m, err := scanMessage(rows)
		if err != nil {
			return nil, nil, err
		}
		seqs, msgs = append(seqs, seq), append(msgs, m)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("read the outbox: %w", err)
	}
	return seqs, msgs, nil
}

func scanMessage(rows *sql.Rows) (seq int64, m Message, err error) {
	var header string
	if err := rows.Scan(&seq, &m.ID, &m.Subject, &header, &m.Payload); err != nil {
		return 0, m, fmt.Errorf("read the outbox: %w", err)
	}
	if err := json.Unmarshal([]byte(header), &m.Header); err != nil {
		return 0, m, fmt.Errorf("header of message %s: %w", m.ID, err)
	}
	return seq, m, nil
}

// remove also runs while ctx ends: what is published should not be published again.
func (db *DB) remove(ctx context.Context, seqs []int64) error {
	if len(seqs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	words := make([]string, len(seqs))
	for i, s := range seqs {
		words[i] = fmt.Sprint(s)
	}
	err := db.WithTx(ctx, func(tx *Tx) error {
		// Not through Rebind, which remembers every text.
		_, err := tx.tx.ExecContext(ctx, "DELETE FROM outbox WHERE seq IN ("+strings.Join(words, ",")+")")
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return fmt.Errorf("empty the outbox: %w", err)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
