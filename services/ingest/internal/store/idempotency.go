package store

import (
	"context"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// Reservation is a submit that names itself. Owner is who may repeat it, Name what it calls itself. An empty Fingerprint means
// that it is under way; else it has become the build, and the fingerprint says of what.
type Reservation struct {
	Owner, Name, BuildID, Fingerprint string
	CreatedAt                         time.Time
}

// Reserve writes r unless the name is taken, and gives what stands there then.
func (s *Store) Reserve(ctx context.Context, r Reservation) (stands Reservation, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err = s.db.WithTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO idempotency (owner, name, build_id, fingerprint, created_at)
			VALUES ($1, $2, $3, '', $4) ON CONFLICT DO NOTHING`, r.Owner, r.Name, r.BuildID, r.CreatedAt.UnixMilli())
		if err != nil {
			return err
		}
		var at int64
		stands = Reservation{Owner: r.Owner, Name: r.Name}
		err = tx.QueryRowContext(ctx, `SELECT build_id, fingerprint, created_at FROM idempotency WHERE owner = $1 AND name = $2`,
			r.Owner, r.Name).Scan(&stands.BuildID, &stands.Fingerprint, &at)
		stands.CreatedAt = time.UnixMilli(at)
		return err
	})
	if err != nil {
		return stands, fmt.Errorf("reserve an idempotency key: %w", err)
	}
	return stands, nil
}

// Settle says that the submit has become its build, of this.
func (s *Store) Settle(ctx context.Context, r Reservation, fingerprint string) error {
	return s.exec(ctx, "settle an idempotency key", `UPDATE idempotency SET fingerprint = $1
		WHERE owner = $2 AND name = $3 AND build_id = $4`, fingerprint, r.Owner, r.Name, r.BuildID)
}

// Release forgets a submit that became nothing.
func (s *Store) Release(ctx context.Context, r Reservation) error {
	return s.exec(ctx, "release an idempotency key", `DELETE FROM idempotency
		WHERE owner = $1 AND name = $2 AND build_id = $3 AND fingerprint = ''`, r.Owner, r.Name, r.BuildID)
}

// SweepReservations forgets those from before t.
func (s *Store) SweepReservations(ctx context.Context, t time.Time) error {
	return s.exec(ctx, "sweep idempotency keys", `DELETE FROM idempotency WHERE created_at < $1`, t.UnixMilli())
}

func (s *Store) exec(ctx context.Context, doing, q string, args ...any) error {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, q, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
