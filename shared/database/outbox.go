package database

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
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

// Limits of a message. The bus refuses larger ones (1 MiB with headers), and a message that it never takes would hold up
// every later one.
const maxMessage = 1000 << 10

func (m *Message) validate() error {
	size := len(m.Payload)
	for k, v := range m.Header {
		size += len(k) + len(v) + 4
	}
	switch {
	case m.ID == "":
		return fmt.Errorf("%w: it has no ID", ErrMessage)
	case m.Subject == "" || strings.ContainsAny(m.Subject, " \t\r\n*>"):
		return fmt.Errorf("%w: nothing can be published to that subject", ErrMessage)
	case size > maxMessage:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrMessage, size, maxMessage)
	}
	return nil
}

// emitBatch bounds the parameters of one INSERT (SQLite takes 32,766) and how many texts of it there are.
const emitBatch = 256

// Emit writes messages that are published after the commit, in this order, and only if it happens. ErrMessage for one that
// the bus would never take.
func (t *Tx) Emit(ctx context.Context, msgs ...Message) error {
	for batch := range slices.Chunk(msgs, emitBatch) {
		if err := t.emit(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) emit(ctx context.Context, msgs []Message) error {
	var q strings.Builder
	q.WriteString("INSERT INTO outbox (id, subject, header, payload) VALUES ")
	args := make([]any, 0, 4*len(msgs))
	for i, m := range msgs {
		if err := m.validate(); err != nil {
			return fmt.Errorf("emit %q: %w", m.Subject, err)
		}
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

func (db *DB) waitingMessages(ctx context.Context, limit int) (seqs []int64, msgs []Message, err error) {
	rows, err := db.Read().QueryContext(ctx, "SELECT seq, id, subject, header, payload FROM outbox ORDER BY seq LIMIT $1", limit)
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

// removeTimeout bounds the removal, which also runs while ctx ends: what is published should not be published again.
const removeTimeout = 5 * time.Second

// remove takes published messages out. On PostgreSQL one by one: a transaction that was slow to commit may have shown a
// smaller number meanwhile. On SQLite, where numbers follow the commits, everything up to the last.
func (db *DB) remove(ctx context.Context, seqs []int64) error {
	if len(seqs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	q, arg := "DELETE FROM outbox WHERE seq <= $1", any(seqs[len(seqs)-1])
	if db.dialect == PostgreSQL {
		q, arg = "DELETE FROM outbox WHERE seq = ANY($1)", seqs
	}
	err := db.WithTx(ctx, func(tx *Tx) error {
		_, err := tx.ExecContext(ctx, q, arg)
		return err
	})
	if err != nil {
		return fmt.Errorf("empty the outbox: %w", err)
	}
	return nil
}

// oldestWaiting returns the smallest number in the outbox, or the largest there can be.
func (db *DB) oldestWaiting(ctx context.Context) (seq int64, err error) {
	err = db.Read().QueryRowContext(ctx, "SELECT COALESCE(MIN(seq), $1) FROM outbox", int64(math.MaxInt64)).Scan(&seq)
	if err != nil {
		return 0, fmt.Errorf("look into the outbox: %w", err)
	}
	return seq, nil
}
