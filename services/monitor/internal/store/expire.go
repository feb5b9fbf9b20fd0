package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// ExpireBuilds deletes the samples of builds, their sums, and imported snapshots.
func (s *Store) ExpireBuilds(ctx context.Context, ids []string) error {
	return s.deleteBy(ctx, "expire builds", "build_id", ids, "samples", "sample_minutes", "snapshots", "leases", "ended_leases")
}

// ForgetWorkers deletes the reports of workers, imported ones too.
func (s *Store) ForgetWorkers(ctx context.Context, ids []string) error {
	return s.deleteBy(ctx, "forget workers", "worker_id", ids, "reports", "workers")
}

func (b base) deleteBy(ctx context.Context, doing, column string, ids []string, tables ...string) error {
	if len(ids) == 0 {
		return nil
	}
	marks, args := make([]string, len(ids)), make([]any, len(ids))
	for i, id := range ids {
		marks[i], args[i] = fmt.Sprintf("$%d", i+1), id
	}
	err := b.db.WithTx(ctx, func(tx *database.Tx) error {
		for _, table := range tables {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE `+column+` IN (`+strings.Join(marks, ", ")+`)`, args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
