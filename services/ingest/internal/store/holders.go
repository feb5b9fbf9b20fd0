package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// RenewHolder renews the lease of the process holder.
func (s *SubmitStore) RenewHolder(ctx context.Context, holder string, now time.Time) error {
	return exec(ctx, s.db, "renew the lease of submits", `INSERT INTO submit_holders (id, beat, at_ms) VALUES ($1, 1, $2)
		ON CONFLICT (id) DO UPDATE SET beat = submit_holders.beat + 1, at_ms = excluded.at_ms`, holder, now.UnixMilli())
}

// HolderBeat returns how often the process has called RenewHolder, 0 if never.
func (s *SubmitStore) HolderBeat(ctx context.Context, holder string) (beat int64, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err = s.db.Read().QueryRowContext(ctx, `SELECT beat FROM submit_holders WHERE id = $1`, holder).Scan(&beat)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("look up the lease of submits: %w", err)
	}
	return beat, nil
}

// SweepHolders deletes processes that have not called RenewHolder since t.
func (s *SubmitStore) SweepHolders(ctx context.Context, t time.Time) error {
	return exec(ctx, s.db, "sweep leases of submits", `DELETE FROM submit_holders WHERE at_ms < $1`, t.UnixMilli())
}

// InFlight is a submit of API v1 whose answer has not been delivered.
type InFlight struct {
	BuildID, Holder string
	Since           time.Time
}

// PutInFlight records that the scheduler is about to be asked for the build.
func (s *SubmitStore) PutInFlight(ctx context.Context, f InFlight, sub Submit) error {
	return exec(ctx, s.db, "record a submit in flight", `INSERT INTO submits_in_flight
		(build_id, key_id, source_sha256, certs_sha256, platform, since, holder) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (build_id) DO UPDATE SET since = excluded.since, holder = excluded.holder`,
		f.BuildID, sub.KeyID, sub.SourceSHA256, sub.CertsSHA256, sub.Platform, f.Since.UnixMilli(), f.Holder)
}

// FindInFlight returns equal submits that processes other than self have had in flight since
// `after` or later, the oldest first and at most 20.
func (s *SubmitStore) FindInFlight(ctx context.Context, sub Submit, self string, after time.Time) (found []InFlight, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	rows, err := s.db.Read().QueryContext(ctx, `SELECT build_id, holder, since FROM submits_in_flight
		WHERE source_sha256 = $1 AND key_id = $2 AND certs_sha256 = $3 AND platform = $4 AND since >= $5 AND holder <> $6
		ORDER BY since LIMIT 20`, sub.SourceSHA256, sub.KeyID, sub.CertsSHA256, sub.Platform, after.UnixMilli(), self)
	if err != nil {
		return nil, fmt.Errorf("look for submits in flight: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var f InFlight
		var since int64
		if err := rows.Scan(&f.BuildID, &f.Holder, &since); err != nil {
			return nil, fmt.Errorf("look for submits in flight: %w", err)
		}
		f.Since = time.UnixMilli(since)
		found = append(found, f)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look for submits in flight: %w", err)
	}
	return found, nil
}

// IsInFlight reports whether the row exists unchanged.
func (s *SubmitStore) IsInFlight(ctx context.Context, f InFlight) (there bool, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err = s.db.Read().QueryRowContext(ctx, `SELECT COUNT(*) > 0 FROM submits_in_flight WHERE build_id = $1 AND holder = $2`,
		f.BuildID, f.Holder).Scan(&there)
	if err != nil {
		return false, fmt.Errorf("look for a submit in flight: %w", err)
	}
	return there, nil
}

// TakeInFlight makes holder the holder of f and removes it from the unanswered submits. It reports
// whether f was unchanged.
func (s *SubmitStore) TakeInFlight(ctx context.Context, f InFlight, holder string, now time.Time) (taken bool, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err = s.db.WithTx(ctx, func(tx *database.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE submits_in_flight SET holder = $1, since = $2 WHERE build_id = $3 AND holder = $4`,
			holder, now.UnixMilli(), f.BuildID, f.Holder)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if taken = n > 0; err != nil || !taken {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM unanswered_submits WHERE build_id = $1`, f.BuildID)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("take over a submit in flight: %w", err)
	}
	return taken, nil
}

// ForgetInFlight deletes the row if holder has it.
func (s *SubmitStore) ForgetInFlight(ctx context.Context, buildID, holder string) error {
	return exec(ctx, s.db, "forget a submit in flight", `DELETE FROM submits_in_flight WHERE build_id = $1 AND holder = $2`, buildID, holder)
}

// SweepInFlight deletes submits that have been in flight since before t. Their builds stay: nobody
// knows whether they were answered.
func (s *SubmitStore) SweepInFlight(ctx context.Context, t time.Time) error {
	return exec(ctx, s.db, "sweep submits in flight", `DELETE FROM submits_in_flight WHERE since < $1`, t.UnixMilli())
}
