package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// PutFormerTokens stores the hashes of access tokens by build; one that is there stays. It gives
// the builds that had none. With check nothing is stored.
func (s *AccessStore) PutFormerTokens(ctx context.Context, hashes map[string]string, check bool) (fresh map[string]bool, err error) {
	err = s.db.WithTx(ctx, func(tx *database.Tx) error {
		fresh = map[string]bool{}
		for id, hash := range hashes {
			var one int
			err := tx.QueryRowContext(ctx, `SELECT 1 FROM former_tokens WHERE build_id = $1`, id).Scan(&one)
			if err == nil {
				continue
			}
			if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			fresh[id] = true
			if check {
				continue
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO former_tokens (build_id, hash) VALUES ($1, $2)`, id, hash); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store access tokens of another controller: %w", err)
	}
	return fresh, nil
}

// FormerToken says if the token is the one that another controller gave for the build.
func (s *AccessStore) FormerToken(ctx context.Context, buildID, token string) (bool, error) {
	var hash string
	err := s.db.Read().QueryRowContext(ctx, `SELECT hash FROM former_tokens WHERE build_id = $1`, buildID).Scan(&hash)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up a build's access token: %w", err)
	}
	return identity.Matches(token, hash), nil
}
