package store

import (
	"context"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// Reservation is a submit with an idempotency key. Owner may repeat it, Name is the key. Holder is
// the gateway process that works on it; rows of older versions have none. An empty Fingerprint
// means that the submit is in progress. Otherwise it has become the build, and Fingerprint
// identifies its content.
type Reservation struct {
	Owner, Name, BuildID, Fingerprint, Holder string
	CreatedAt                                 time.Time
}

// Reserve inserts r unless the key is in use, and returns the row that is stored afterwards.
func (s *SubmitStore) Reserve(ctx context.Context, r Reservation) (stored Reservation, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err = s.db.WithTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO idempotency (owner, name, build_id, fingerprint, created_at, holder)
			VALUES ($1, $2, $3, '', $4, $5) ON CONFLICT DO NOTHING`, r.Owner, r.Name, r.BuildID, r.CreatedAt.UnixMilli(), r.Holder)
		if err != nil {
			return err
		}
		var at int64
		stored = Reservation{Owner: r.Owner, Name: r.Name}
		err = tx.QueryRowContext(ctx, `SELECT build_id, fingerprint, created_at, holder FROM idempotency WHERE owner = $1 AND name = $2`,
			r.Owner, r.Name).Scan(&stored.BuildID, &stored.Fingerprint, &at, &stored.Holder)
		stored.CreatedAt = time.UnixMilli(at)
		return err
	})
	if err != nil {
		return stored, fmt.Errorf("reserve an idempotency key: %w", err)
	}
	return stored, nil
}

// TakeOver makes holder the holder of r and reports whether r was unchanged. The build's id stays,
// so that the previous holder, if it still works on the submit, works on the same build.
func (s *SubmitStore) TakeOver(ctx context.Context, r Reservation, holder string) (taken bool, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err = s.db.WithTx(ctx, func(tx *database.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE idempotency SET holder = $1, fingerprint = ''
			WHERE owner = $2 AND name = $3 AND build_id = $4 AND holder = $5 AND fingerprint = $6`,
			holder, r.Owner, r.Name, r.BuildID, r.Holder, r.Fingerprint)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		taken = n > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("take over an idempotency key: %w", err)
	}
	return taken, nil
}

// Settle records that the submit has become its build. The first content that is recorded stays.
func (s *SubmitStore) Settle(ctx context.Context, r Reservation, fingerprint string) error {
	return exec(ctx, s.db, "settle an idempotency key", `UPDATE idempotency SET fingerprint = $1
		WHERE owner = $2 AND name = $3 AND build_id = $4 AND fingerprint = ''`, fingerprint, r.Owner, r.Name, r.BuildID)
}

// Release deletes a failed submit, unless another process has taken it over.
func (s *SubmitStore) Release(ctx context.Context, r Reservation) error {
	return exec(ctx, s.db, "release an idempotency key", `DELETE FROM idempotency
		WHERE owner = $1 AND name = $2 AND build_id = $3 AND fingerprint = '' AND holder = $4`, r.Owner, r.Name, r.BuildID, r.Holder)
}

// SweepReservations deletes reservations created before t.
func (s *SubmitStore) SweepReservations(ctx context.Context, t time.Time) error {
	return exec(ctx, s.db, "sweep idempotency keys", `DELETE FROM idempotency WHERE created_at < $1`, t.UnixMilli())
}

func exec(ctx context.Context, db *database.DB, action, q string, args ...any) error {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err := db.WithTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, q, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	return nil
}
