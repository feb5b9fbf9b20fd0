package store

import (
	"context"
	"fmt"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// Silence counts how often a project's builds were silent in a stage for the time of a bucket.
type Silence struct {
	Project, Stage string
	Bucket         int64
	Count          float64
}

// mostSilences is the total at which the counts of a project and stage are halved, so that old silences count less and less.
const mostSilences = 20_000

// Silences is the table of how long builds were silent.
type Silences struct{ base }

// Add adds counts.
func (s *Silences) Add(ctx context.Context, all []Silence) error {
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		touched := map[[2]string]bool{}
		for _, x := range all {
			_, err := tx.ExecContext(ctx, `INSERT INTO silences (project, stage, bucket, count) VALUES ($1, $2, $3, $4)
				ON CONFLICT (project, stage, bucket) DO UPDATE SET count = silences.count + excluded.count`, x.Project, x.Stage, x.Bucket, x.Count)
			if err != nil {
				return err
			}
			touched[[2]string{x.Project, x.Stage}] = true
		}
		for at := range touched {
			if err := fade(ctx, tx, at[0], at[1]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("add %d silences: %w", len(all), err)
	}
	return nil
}

func fade(ctx context.Context, tx *database.Tx, project, stage string) error {
	var total float64
	err := tx.QueryRowContext(ctx, `SELECT coalesce(sum(count), 0) FROM silences WHERE project = $1 AND stage = $2`, project, stage).Scan(&total)
	if err != nil || total < mostSilences {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE silences SET count = count / 2 WHERE project = $1 AND stage = $2`, project, stage); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM silences WHERE project = $1 AND stage = $2 AND count < 0.1`, project, stage)
	return err
}

// Of returns what is known of a project and stage, the shortest first.
func (s *Silences) Of(ctx context.Context, project, stage string) ([]Silence, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT bucket, count FROM silences WHERE project = $1 AND stage = $2 ORDER BY bucket`, project, stage)
	if err != nil {
		return nil, fmt.Errorf("silences of %s: %w", stage, err)
	}
	defer rows.Close()
	var all []Silence
	for rows.Next() {
		x := Silence{Project: project, Stage: stage}
		if err := rows.Scan(&x.Bucket, &x.Count); err != nil {
			return nil, fmt.Errorf("silences of %s: %w", stage, err)
		}
		all = append(all, x)
	}
	return all, rows.Err()
}
