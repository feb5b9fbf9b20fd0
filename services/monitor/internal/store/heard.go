package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// Word is that telemetry was heard of an attempt.
type Word struct {
	BuildID  string
	Attempt  int32
	WorkerID string
	At       time.Time
	// Stage that it is in, and the silence forgiven there; a TTL of 0 leaves both as they are.
	Stage string
	TTL   time.Duration
}

const (
	// freshness is how much newer a word must be to be written: telemetry of many samples a second costs one write.
	freshness = 250 * time.Millisecond
	// wordsAtOnce bounds the parameters of one statement, and how many texts of it there are.
	wordsAtOnce = 64
)

// Hear notes signs of life of attempts that are watched, one for each attempt, in one transaction. Those of an attempt that is
// past, or by another worker than its holder, change nothing.
func (s *Store) Hear(ctx context.Context, words []Word) error {
	if len(words) == 0 {
		return nil
	}
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		for rest := words; len(rest) > 0; {
			part := rest[:min(chunk(len(rest)), wordsAtOnce)]
			rest = rest[len(part):]
			if err := hear(ctx, tx, part); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note %d signs of life: %w", len(words), err)
	}
	return nil
}

func hear(ctx context.Context, tx *database.Tx, words []Word) error {
	rows, args := make([]string, len(words)), make([]any, 0, 6*len(words))
	for i, w := range words {
		n := 6 * i
		rows[i] = fmt.Sprintf("(CAST($%d AS TEXT), CAST($%d AS BIGINT), CAST($%d AS TEXT), CAST($%d AS BIGINT), CAST($%d AS TEXT), CAST($%d AS BIGINT))",
			n+1, n+2, n+3, n+4, n+5, n+6)
		args = append(args, w.BuildID, int64(w.Attempt), w.WorkerID, w.At.UnixMilli(), w.Stage, w.TTL.Milliseconds())
	}
	args = append(args, freshness.Milliseconds())
	_, err := tx.ExecContext(ctx, fmt.Sprintf(`UPDATE leases SET heard = word.column4,
			stage = CASE WHEN word.column6 > 0 THEN word.column5 ELSE stage END,
			ttl_ms = CASE WHEN word.column6 > 0 THEN word.column6 ELSE ttl_ms END
		FROM (VALUES %s) AS word
		WHERE build_id = word.column1 AND attempt = word.column2 AND worker_id = word.column3 AND heard < word.column4 - $%d`,
		strings.Join(rows, ", "), len(args)), args...)
	return err
}
