package store

import (
	"context"
	"fmt"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// Silence is how often a project's builds were silent in a stage for as long as a bucket says.
type Silence struct {
	Project, Stage string
	Bucket         int64
	Count          float64
}

// mostSilences is the weight at which what a project and stage have is halved: so what is long past counts less and less.
const mostSilences = 20_000

// AddSilences adds counts.
func (s *Store) AddSilences(ctx context.Context, all []Silence) error {
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

// Silences returns what is known of a project and stage, the shortest first.
func (s *Store) Silences(ctx context.Context, project, stage string) ([]Silence, error) {
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

// Project returns the project of a watched build, false if it is not watched.
func (s *Store) Project(ctx context.Context, buildID string) (project string, ok bool, err error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT project FROM leases WHERE build_id = $1`, buildID)
	if err != nil {
		return "", false, fmt.Errorf("project of %s: %w", buildID, err)
	}
	defer rows.Close()
	if rows.Next() {
		ok, err = true, rows.Scan(&project)
	}
	if err == nil {
		err = rows.Err()
	}
	if err != nil {
		return "", false, fmt.Errorf("project of %s: %w", buildID, err)
	}
	return project, ok, nil
}
