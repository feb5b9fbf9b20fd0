package legacy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// Tokens has the hashes of the build tokens that the legacy controller issued.
type Tokens struct{ DB *database.DB }

// Put stores hashes by build, unless the build has one, and returns the builds that had none. With
// check it stores nothing.
func (s Tokens) Put(ctx context.Context, hashes map[string]string, check bool) (fresh map[string]bool, err error) {
	err = s.DB.WithTx(ctx, func(tx *database.Tx) error {
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
		return nil, fmt.Errorf("store build tokens of the legacy controller: %w", err)
	}
	return fresh, nil
}

// Issued reports whether the legacy controller issued the token for the build.
func (s Tokens) Issued(ctx context.Context, buildID, token string) (bool, error) {
	var hash string
	err := s.DB.Read().QueryRowContext(ctx, `SELECT hash FROM former_tokens WHERE build_id = $1`, buildID).Scan(&hash)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up the legacy controller's token of a build: %w", err)
	}
	return identity.Matches(token, hash), nil
}
