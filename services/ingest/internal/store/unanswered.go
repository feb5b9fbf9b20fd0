package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// Submit is what tells one submit from another: a repeat is equal in all of it.
type Submit struct {
	KeyID string
	// SourceSHA256 and CertsSHA256 are of the stored objects; CertsSHA256 is empty without certs.
	SourceSHA256, CertsSHA256 string
	Platform                  string
}

// KeyID finds the id of an API key; build.ErrUnauthorized if there is none such.
func (s *SubmitStore) KeyID(ctx context.Context, key string) (id string, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err = s.db.Read().QueryRowContext(ctx, `SELECT id FROM api_keys WHERE hash = $1`, identity.Hash(key)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", build.ErrUnauthorized
	}
	if err != nil {
		return "", fmt.Errorf("look up an API key: %w", err)
	}
	return id, nil
}

// PutUnanswered remembers that the submitter of a build was not told of it.
func (s *SubmitStore) PutUnanswered(ctx context.Context, buildID string, sub Submit, since time.Time) error {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO unanswered_submits (build_id, key_id, source_sha256, certs_sha256, platform, since)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (build_id) DO UPDATE SET since = excluded.since, overdue = 0`,
			buildID, sub.KeyID, sub.SourceSHA256, sub.CertsSHA256, sub.Platform, since.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("remember the unanswered submit of build %s: %w", buildID, err)
	}
	return nil
}

// TakeUnanswered returns the build of an equal submit that was not answered, since `after` or later, to one caller alone; ""
// if there is none. From then on holder has the submit in flight.
func (s *SubmitStore) TakeUnanswered(ctx context.Context, sub Submit, holder string, after time.Time) (buildID string, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	const equal = ` FROM unanswered_submits WHERE source_sha256 = $1 AND key_id = $2 AND certs_sha256 = $3 AND platform = $4
		AND since >= $5 AND overdue = 0`
	args := []any{sub.SourceSHA256, sub.KeyID, sub.CertsSHA256, sub.Platform, after.UnixMilli()}
	// Almost always there is none, and to know that a read is enough.
	err = s.db.Read().QueryRowContext(ctx, `SELECT build_id`+equal+` LIMIT 1`, args...).Scan(&buildID)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err == nil {
		err = s.db.WithTx(ctx, func(tx *database.Tx) error {
			buildID = ""
			err := tx.QueryRowContext(ctx, `SELECT build_id`+equal+` ORDER BY since LIMIT 1`+tx.SkipLocked(), args...).Scan(&buildID)
			if errors.Is(err, sql.ErrNoRows) { // another was faster
				return nil
			}
			if err == nil {
				_, err = tx.ExecContext(ctx, `INSERT INTO submits_in_flight
					(build_id, key_id, source_sha256, certs_sha256, platform, since, holder)
					SELECT build_id, key_id, source_sha256, certs_sha256, platform, $1, $2 FROM unanswered_submits WHERE build_id = $3
					ON CONFLICT (build_id) DO UPDATE SET since = excluded.since, holder = excluded.holder`,
					time.Now().UnixMilli(), holder, buildID)
			}
			if err == nil {
				_, err = tx.ExecContext(ctx, `DELETE FROM unanswered_submits WHERE build_id = $1`, buildID)
			}
			return err
		})
	}
	if err != nil {
		return "", fmt.Errorf("look for an unanswered submit: %w", err)
	}
	return buildID, nil
}

// Overdue gives at most limit builds whose submitters were not told of them before `before` and did not come back; from now
// on no repeat gets them. Those that were given before and not settled come again.
func (s *SubmitStore) TakeOverdue(ctx context.Context, before time.Time, limit int) (buildIDs []string, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	found, err := s.overdue(ctx, before, limit)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	err = s.db.WithTx(ctx, func(tx *database.Tx) error {
		buildIDs = buildIDs[:0]
		for _, id := range found {
			res, err := tx.ExecContext(ctx, `UPDATE unanswered_submits SET overdue = 1 WHERE build_id = $1 AND since < $2`, id, before.UnixMilli())
			if err != nil {
				return err
			}
			if n, err := res.RowsAffected(); err != nil {
				return err
			} else if n > 0 { // else it was taken, or left unanswered again, meanwhile
				buildIDs = append(buildIDs, id)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("mark unanswered submits: %w", err)
	}
	return buildIDs, nil
}

func (s *SubmitStore) overdue(ctx context.Context, before time.Time, limit int) (ids []string, err error) {
	rows, err := s.db.Read().QueryContext(ctx,
		`SELECT build_id FROM unanswered_submits WHERE since < $1 ORDER BY since LIMIT $2`, before.UnixMilli(), limit)
	if err != nil {
		return nil, fmt.Errorf("list unanswered submits: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("list unanswered submits: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// ForgetUnanswered ends it for a build that was settled one way or the other; an unknown one is no error.
func (s *SubmitStore) ForgetUnanswered(ctx context.Context, buildID string) error {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM unanswered_submits WHERE build_id = $1`, buildID)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget the unanswered submit of build %s: %w", buildID, err)
	}
	return nil
}
