package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// BuildNumber is the counter of a project and platform.
type BuildNumber struct {
	Project  string
	Platform build.Platform
	// Last is the last number used; empty without a counter.
	Last      string
	ChangedAt time.Time
}

// BuildNumbers reads and writes counters in a transaction.
type BuildNumbers struct{ tx *database.Tx }

// BuildNumbersIn returns the counters as the transaction sees them.
func BuildNumbersIn(t *Tx) BuildNumbers { return BuildNumbers{tx: t.tx} }

// Get reads a counter and, on PostgreSQL, locks it until the transaction ends: what takes a number waits for others that do.
func (n BuildNumbers) Get(ctx context.Context, project string, p build.Platform) (BuildNumber, error) {
	c := BuildNumber{Project: project, Platform: p}
	var changed int64
	err := n.tx.QueryRowContext(ctx, `SELECT last, changed_at FROM build_numbers WHERE project = $1 AND platform = $2`+n.tx.ForUpdate(),
		project, p).Scan(&c.Last, &changed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return c, fmt.Errorf("read the build number of %s: %w", project, err)
	}
	c.ChangedAt = FromMillis(changed)
	return c, nil
}

// Put adds or replaces a counter.
func (n BuildNumbers) Put(ctx context.Context, c BuildNumber) error {
	_, err := n.tx.ExecContext(ctx, `INSERT INTO build_numbers (project, platform, last, changed_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (project, platform) DO UPDATE SET last = excluded.last, changed_at = excluded.changed_at`,
		c.Project, c.Platform, c.Last, Millis(c.ChangedAt))
	if err != nil {
		return fmt.Errorf("store the build number of %s: %w", c.Project, err)
	}
	return nil
}

// ReadBuildNumbers returns the counters of a project, by platform.
func ReadBuildNumbers(ctx context.Context, s *Store, project string) ([]BuildNumber, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT platform, last, changed_at FROM build_numbers WHERE project = $1 ORDER BY platform`, project)
	if err != nil {
		return nil, fmt.Errorf("read the build numbers of %s: %w", project, err)
	}
	defer rows.Close()
	var all []BuildNumber
	for rows.Next() {
		c := BuildNumber{Project: project}
		var changed int64
		if err := rows.Scan(&c.Platform, &c.Last, &changed); err != nil {
			return nil, fmt.Errorf("read the build numbers of %s: %w", project, err)
		}
		c.ChangedAt = FromMillis(changed)
		all = append(all, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the build numbers of %s: %w", project, err)
	}
	return all, nil
}
