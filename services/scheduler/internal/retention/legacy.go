package retention

import (
	"context"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// HasTrace returns which of some builds have expired.
func (s *Store) HasTrace(ctx context.Context, ids []string) (map[string]bool, error) {
	expired := map[string]bool{}
	if len(ids) == 0 {
		return expired, nil
	}
	marks, args := list(ids)
	all, err := s.traces(ctx, `WHERE id IN (`+marks+`)`, args...)
	for _, t := range all {
		expired[t.ID] = true
	}
	return expired, err
}

// MarkUncleaned undoes Cleaned: other services were given parts of these builds again.
func (s *Store) MarkUncleaned(ctx context.Context, ids []string) error {
	return s.tx(ctx, "mark builds uncleaned", func(tx *database.Tx) error {
		marks, args := list(ids)
		_, err := tx.ExecContext(ctx, `UPDATE expired_builds SET cleaned_at = 0 WHERE id IN (`+marks+`)`, args...)
		return err
	})
}
