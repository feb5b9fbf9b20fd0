package store

import (
	"context"
	"fmt"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// Repacks reads and writes what repacking needs, in a transaction.
type Repacks struct{ tx *database.Tx }

// RepacksIn returns the builds as the transaction sees them.
func RepacksIn(t *Tx) Repacks { return Repacks{tx: t.tx} }

// Finish records the native fingerprint of a build whose result can be repacked.
func (r Repacks) Finish(ctx context.Context, buildID, fingerprint string) error {
	if _, err := r.tx.ExecContext(ctx, `UPDATE builds SET native_fingerprint = $1 WHERE id = $2`, fingerprint, buildID); err != nil {
		return fmt.Errorf("record the native fingerprint of %s: %w", buildID, err)
	}
	return nil
}

// RepackFilter chooses builds to repack.
type RepackFilter struct {
	Project  string
	Platform build.Platform
	// Profiles are two names of one profile.
	Profiles [2]string
	// Fingerprint is preferred; may be empty.
	Fingerprint string
}

// Find returns completed builds with a native fingerprint: those with the preferred one first, then the newest, at most limit.
func (r Repacks) Find(ctx context.Context, f RepackFilter, limit int) (all []Build, err error) {
	rows, err := r.tx.QueryContext(ctx, `SELECT `+buildColumns+` FROM builds
		WHERE native_fingerprint <> '' AND project = $1 AND platform = $2 AND state = 'completed' AND repack_from = '' AND profile IN ($3, $4)
		ORDER BY CASE WHEN native_fingerprint = $5 THEN 0 ELSE 1 END, seq DESC LIMIT $6`,
		f.Project, f.Platform, f.Profiles[0], f.Profiles[1], f.Fingerprint, limit)
	if err != nil {
		return nil, fmt.Errorf("find builds to repack: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		b, err := scanBuild(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find builds to repack: %w", err)
	}
	return all, nil
}
