package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// LifeSign tells that telemetry of an attempt came.
type LifeSign struct {
	BuildID  string
	Attempt  int32
	WorkerID string
	At       time.Time
	// Stage that it is in, and the heartbeat timeout there; a TTL of 0 leaves both as they are.
	Stage string
	TTL   time.Duration
}

const (
	// freshness is how much newer a sign must be to be written, so that many samples a second cost one write.
	freshness = 250 * time.Millisecond
	// signsAtOnce bounds the parameters of one statement, and how many texts of it there are.
	signsAtOnce = 64
)

// Heard records that attempts under watch are alive, one sign for each, in one transaction. Signs of an attempt that is over, or of
// another worker than its holder, change nothing.
func (s *Leases) Heard(ctx context.Context, signs []LifeSign) error {
	if len(signs) == 0 {
		return nil
	}
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		for rest := signs; len(rest) > 0; {
			part := rest[:min(chunk(len(rest)), signsAtOnce)]
			rest = rest[len(part):]
			if err := hear(ctx, tx, part); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("record %d signs of life: %w", len(signs), err)
	}
	return nil
}

func hear(ctx context.Context, tx *database.Tx, signs []LifeSign) error {
	rows, args := make([]string, len(signs)), make([]any, 0, 6*len(signs))
	for i, w := range signs {
		n := 6 * i
		rows[i] = fmt.Sprintf("(CAST($%d AS TEXT), CAST($%d AS BIGINT), CAST($%d AS TEXT), CAST($%d AS BIGINT), CAST($%d AS TEXT), CAST($%d AS BIGINT))",
			n+1, n+2, n+3, n+4, n+5, n+6)
		args = append(args, w.BuildID, int64(w.Attempt), w.WorkerID, w.At.UnixMilli(), w.Stage, w.TTL.Milliseconds())
	}
	args = append(args, freshness.Milliseconds())
	_, err := tx.ExecContext(ctx, fmt.Sprintf(`UPDATE leases SET heard = sign.column4,
			stage = CASE WHEN sign.column6 > 0 THEN sign.column5 ELSE stage END,
			ttl_ms = CASE WHEN sign.column6 > 0 THEN sign.column6 ELSE ttl_ms END
		FROM (VALUES %s) AS sign
		WHERE build_id = sign.column1 AND attempt = sign.column2 AND worker_id = sign.column3 AND heard < sign.column4 - $%d`,
		strings.Join(rows, ", "), len(args)), args...)
	return err
}
