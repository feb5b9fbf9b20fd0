package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// ExpireBuilds deletes the data of builds that the scheduler has expired, except what identifies
// them to their submitters.
func (s *Store) ExpireBuilds(ctx context.Context, ids []string) error {
	return s.deleteAll(ctx, "expire builds", ids,
		`DELETE FROM webhook_deliveries WHERE event LIKE 'build.%%' AND subject IN (%s)`,
		`DELETE FROM log_sizes WHERE build_id IN (%s)`,
		`DELETE FROM unanswered_submits WHERE build_id IN (%s)`)
}

// ForgetBuilds deletes all remaining data of builds: idempotency keys, sessions for one build, and
// build tokens of the legacy controller.
func (s *Store) ForgetBuilds(ctx context.Context, ids []string) error {
	return s.deleteAll(ctx, "forget builds", ids,
		`DELETE FROM idempotency WHERE build_id IN (%s)`,
		`DELETE FROM sessions WHERE build_id IN (%s)`,
		`DELETE FROM former_tokens WHERE build_id IN (%s)`)
}

// ForgetWorkers deletes the credentials of workers and their webhook deliveries. It keeps revoked
// credentials, which still lock a worker out.
func (s *Store) ForgetWorkers(ctx context.Context, ids []string) error {
	return s.deleteAll(ctx, "forget workers", ids,
		`DELETE FROM worker_credentials WHERE revoked = 0 AND worker_id IN (%s)`,
		`DELETE FROM webhook_deliveries WHERE event LIKE 'worker.%%' AND subject IN (%s)`)
}

func (s *Store) deleteAll(ctx context.Context, action string, ids []string, queries ...string) error {
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	marks, args := make([]string, len(ids)), make([]any, len(ids))
	for i, id := range ids {
		marks[i], args[i] = fmt.Sprintf("$%d", i+1), id
	}
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		for _, q := range queries {
			if _, err := tx.ExecContext(ctx, fmt.Sprintf(q, strings.Join(marks, ", ")), args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	return nil
}
