package database

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

const outboxSQLite = `CREATE TABLE IF NOT EXISTS outbox (
	seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, subject TEXT NOT NULL, header TEXT NOT NULL, payload BLOB NOT NULL)`

const outboxPostgres = `CREATE TABLE IF NOT EXISTS outbox (
	seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id TEXT NOT NULL, subject TEXT NOT NULL, header TEXT NOT NULL,
	payload BYTEA NOT NULL)`

// Message is a row of the outbox.
type Message struct {
	// ID is the same each time the message is published, so that the bus stores it once.
	ID      string
	Subject string
	Header  map[string]string
	Payload []byte
}

// Emit writes messages that are published after the commit, in this order, and only if it happens.
func (t *Tx) Emit(ctx context.Context, msgs ...Message) error {
	if len(msgs) == 0 {
		return nil
	}
	var q strings.Builder
	q.WriteString("INSERT INTO outbox (id, subject, header, payload) VALUES ")
	args := make([]any, 0, 4*len(msgs))
	for i, m := range msgs {
		header, err := json.Marshal(m.Header)
		if err != nil {
			return fmt.Errorf("emit %s: %w", m.Subject, err)
		}
		if i > 0 {
			q.WriteString(", ")
		}
		fmt.Fprintf(&q, "($%d, $%d, $%d, $%d)", len(args)+1, len(args)+2, len(args)+3, len(args)+4)
		args = append(args, m.ID, m.Subject, string(header), append([]byte{}, m.Payload...)) // never NULL
	}
	q.WriteString(" RETURNING seq")
	rows, err := t.QueryContext(ctx, q.String(), args...)
	if err != nil {
		return fmt.Errorf("emit %s: %w", msgs[0].Subject, err)
	}
	return t.noteEmitted(rows)
}

func (t *Tx) noteEmitted(rows *sql.Rows) error {
	defer rows.Close()
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return fmt.Errorf("emit: %w", err)
		}
		t.emitted = max(t.emitted, seq)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("emit: %w", err)
	}
	return nil
}

// emits tells the relay of this process what its transactions have committed.
type emits struct {
	woken chan struct{}
	mu    sync.Mutex
	last  int64
}

func (e *emits) init() { e.woken = make(chan struct{}, 1) }

func (e *emits) committed(seq int64) {
	e.mu.Lock()
	e.last = max(e.last, seq)
	e.mu.Unlock()
	select {
	case e.woken <- struct{}{}:
	default:
	}
}

func (e *emits) latest() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}
