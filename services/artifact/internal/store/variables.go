package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// ErrFull means that a project would have more variables, or more bytes of them, than it may.
var ErrFull = errors.New("the project has as many variables as it may")

// Variable is a variable of a project in one environment. The store does not see its value.
type Variable struct {
	Project, Environment, Name string
	Visibility                 string
	// Size of the value, in bytes.
	Size               int64
	Sealed, WrappedKey []byte
	UpdatedAt          time.Time
}

// Variables is the table of variables.
type Variables struct{ base }

// NewVariables returns the table in db. Call Store.Migrate first.
func NewVariables(db *database.DB) *Variables { return &Variables{base{db}} }

// Set writes variables of one project, all or none, over those of the same name. It is ErrFull if the project would have more than most of
// them, or values of more than mostBytes together.
func (s *Variables) Set(ctx context.Context, project string, all []Variable, most, mostBytes int64) error {
	return s.tx(ctx, "set variables", func(tx *database.Tx) error {
		for _, v := range all {
			_, err := tx.ExecContext(ctx, `INSERT INTO variables (project, environment, name, visibility, size, sealed, wrapped_key, updated_ms)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
				ON CONFLICT (project, environment, name) DO UPDATE SET visibility = excluded.visibility, size = excluded.size,
				sealed = excluded.sealed, wrapped_key = excluded.wrapped_key, updated_ms = excluded.updated_ms`,
				project, v.Environment, v.Name, v.Visibility, v.Size, v.Sealed, v.WrappedKey, millis(v.UpdatedAt))
			if err != nil {
				return err
			}
		}
		var n, bytes int64
		err := tx.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(size), 0) FROM variables WHERE project = $1`, project).Scan(&n, &bytes)
		if err == nil && (n > most || bytes > mostBytes) {
			err = ErrFull
		}
		return err
	})
}

// Unset removes a variable from environments and returns those that had it.
func (s *Variables) Unset(ctx context.Context, project, name string, environments []string) (had []string, err error) {
	err = s.tx(ctx, "unset a variable", func(tx *database.Tx) error {
		had = nil
		for _, environment := range environments {
			n, err := affected(tx.ExecContext(ctx, `DELETE FROM variables WHERE project = $1 AND environment = $2 AND name = $3`,
				project, environment, name))
			if err != nil {
				return err
			}
			if n > 0 {
				had = append(had, environment)
			}
		}
		return nil
	})
	return had, err
}

// List returns the variables of a project by name, then environment. An empty environment means all.
func (s *Variables) List(ctx context.Context, project, environment string) (all []Variable, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	rows, err := s.db.Read().QueryContext(ctx, `SELECT environment, name, visibility, size, sealed, wrapped_key, updated_ms FROM variables
		WHERE project = $1 AND ($2 = '' OR environment = $2) ORDER BY name, environment`, project, environment)
	if err != nil {
		return nil, fmt.Errorf("list variables: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		v := Variable{Project: project}
		var updated int64
		if err := rows.Scan(&v.Environment, &v.Name, &v.Visibility, &v.Size, &v.Sealed, &v.WrappedKey, &updated); err != nil {
			return nil, fmt.Errorf("list variables: %w", err)
		}
		v.UpdatedAt = fromMillis(updated)
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list variables: %w", err)
	}
	return all, nil
}
