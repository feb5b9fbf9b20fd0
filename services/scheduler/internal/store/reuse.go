package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// BuildKey says what must be the same in a later submit so that it may get a build, and what the build was made with.
type BuildKey struct {
	// Key is over everything that decides the result, as far as the client knows it. NativeKey leaves out the JavaScript inputs; empty
	// unless the build makes a development client.
	Key, NativeKey string
	Simulator      bool
	Made
	Reuses       int64
	LastReusedAt time.Time
}

// Made says what a completed build was made with; empty before its end.
type Made struct {
	// Machine is the digest of its worker, Variables that of the variables of Environment.
	Machine, Environment, Variables string
	// Fingerprint of a development client.
	Fingerprint string
}

// Reuse is a submit that got a build instead of one of its own.
type Reuse struct {
	ID, BuildID              string
	At                       time.Time
	Commit, Branch, Username string
}

// MaxReuses is how many reuses of a build are kept; the newest ones.
const MaxReuses = 100

// Reuses reads and writes keys and reuses in a transaction.
type Reuses struct{ tx *database.Tx }

// ReusesIn returns the keys and reuses as the transaction sees them.
func ReusesIn(t *Tx) Reuses { return Reuses{tx: t.tx} }

// Put adds the key of a build that is submitted.
func (r Reuses) Put(ctx context.Context, buildID string, k BuildKey) error {
	_, err := r.tx.ExecContext(ctx, `INSERT INTO build_keys (build_id, key, native_key, simulator) VALUES ($1, $2, $3, $4)`,
		buildID, k.Key, k.NativeKey, bit(k.Simulator))
	if err != nil {
		return fmt.Errorf("store the reuse key of %s: %w", buildID, err)
	}
	return nil
}

// Finish records what a build was made with, if it has a key, and that its worker is such a machine now.
func (r Reuses) Finish(ctx context.Context, b Build, m Made) error {
	_, err := r.tx.ExecContext(ctx, `UPDATE build_keys SET machine = $1, environment = $2, variables = $3, fingerprint = $4 WHERE build_id = $5`,
		m.Machine, m.Environment, m.Variables, m.Fingerprint, b.ID)
	if err != nil {
		return fmt.Errorf("record what build %s was made with: %w", b.ID, err)
	}
	return r.SetMachine(ctx, b.WorkerID, m.Machine)
}

// SetMachine records the digest of a worker's machine.
func (r Reuses) SetMachine(ctx context.Context, workerID, digest string) error {
	if _, err := r.tx.ExecContext(ctx, `UPDATE workers SET machine = $1 WHERE id = $2 AND machine <> $1`, digest, workerID); err != nil {
		return fmt.Errorf("record the machine of worker %s: %w", workerID, err)
	}
	return nil
}

// Machine returns the digest of a worker's machine, and build.ErrWorkerUnknown if it has left the farm.
func (r Reuses) Machine(ctx context.Context, workerID string) (digest string, err error) {
	err = r.tx.QueryRowContext(ctx, `SELECT machine FROM workers WHERE id = $1`, workerID).Scan(&digest)
	if errors.Is(err, sql.ErrNoRows) {
		return "", build.ErrWorkerUnknown
	}
	if err != nil {
		return "", fmt.Errorf("read the machine of worker %s: %w", workerID, err)
	}
	return digest, nil
}

// KeyFilter chooses builds by their keys. Builds match that have Key, or NativeKey and Fingerprint. Without both keys, development
// clients match that have Fingerprint and Simulator.
type KeyFilter struct {
	Project        string
	Platform       build.Platform
	Key, NativeKey string
	Fingerprint    string
	Simulator      bool
}

// KeyedBuild is a build with its key.
type KeyedBuild struct {
	Build
	BuildKey
}

// Find returns builds by their keys: completed ones first, the newest first, at most limit.
func (r Reuses) Find(ctx context.Context, f KeyFilter, limit int) (all []KeyedBuild, err error) {
	args := []any{f.Project, f.Platform, f.Fingerprint}
	which := `native_key <> '' AND fingerprint = $3 AND simulator = $4`
	if f.Key != "" {
		which = `(key = $4 OR native_key <> '' AND fingerprint <> '' AND fingerprint = $3 AND native_key = $5)`
		args = append(args, f.Key, f.NativeKey)
	} else {
		args = append(args, bit(f.Simulator))
	}
	args = append(args, limit)
	rows, err := r.tx.QueryContext(ctx, `SELECT `+buildColumns+workerName+`, key, native_key, simulator, machine, environment, variables, fingerprint, reuses, reused_at
		FROM builds JOIN build_keys ON build_id = id WHERE project = $1 AND platform = $2 AND `+which+`
		ORDER BY CASE WHEN state = 'completed' THEN 0 ELSE 1 END, seq DESC LIMIT `+fmt.Sprintf("$%d", len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("find builds by key: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var k KeyedBuild
		var name string
		var simulator, reused int64
		if k.Build, err = scanBuild(rows, &name, &k.Key, &k.NativeKey, &simulator, &k.Machine, &k.Environment, &k.Variables, &k.Fingerprint,
			&k.Reuses, &reused); err != nil {
			return nil, err
		}
		k.WorkerName, k.Simulator, k.LastReusedAt = name, simulator == 1, FromMillis(reused)
		all = append(all, k)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find builds by key: %w", err)
	}
	return all, nil
}

// Add records a reuse. It is false for one that was recorded before.
func (r Reuses) Add(ctx context.Context, u Reuse) (added bool, err error) {
	res, err := r.tx.ExecContext(ctx, `INSERT INTO build_reuses (id, build_id, at, commit_sha, branch, username) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO NOTHING`, u.ID, u.BuildID, Millis(u.At), u.Commit, u.Branch, u.Username)
	if err != nil {
		return false, fmt.Errorf("record the reuse of %s: %w", u.BuildID, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	for _, q := range []struct {
		text string
		args []any
	}{
		{`UPDATE build_keys SET reuses = reuses + 1, reused_at = $1 WHERE build_id = $2`, []any{Millis(u.At), u.BuildID}},
		{`DELETE FROM build_reuses WHERE build_id = $1 AND id NOT IN
			(SELECT id FROM build_reuses WHERE build_id = $1 ORDER BY at DESC, id LIMIT $2)`, []any{u.BuildID, MaxReuses}},
	} {
		if _, err := r.tx.ExecContext(ctx, q.text, q.args...); err != nil {
			return false, fmt.Errorf("record the reuse of %s: %w", u.BuildID, err)
		}
	}
	return true, nil
}

// ReadReuses returns the reuses of a build, the newest first.
func ReadReuses(ctx context.Context, s *Store, buildID string) (all []Reuse, err error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT id, build_id, at, commit_sha, branch, username FROM build_reuses
		WHERE build_id = $1 ORDER BY at DESC, id`, buildID)
	if err != nil {
		return nil, fmt.Errorf("read the reuses of %s: %w", buildID, err)
	}
	defer rows.Close()
	for rows.Next() {
		var u Reuse
		var at int64
		if err := rows.Scan(&u.ID, &u.BuildID, &at, &u.Commit, &u.Branch, &u.Username); err != nil {
			return nil, fmt.Errorf("read the reuses of %s: %w", buildID, err)
		}
		u.At = FromMillis(at)
		all = append(all, u)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the reuses of %s: %w", buildID, err)
	}
	return all, nil
}

// ReadKeys returns the keys of those of the builds that have one, by build.
func ReadKeys(ctx context.Context, s *Store, builds []Build) (map[string]BuildKey, error) {
	keys := map[string]BuildKey{}
	if len(builds) == 0 {
		return keys, nil
	}
	marks, args := make([]string, len(builds)), make([]any, len(builds))
	for i, b := range builds {
		marks[i], args[i] = fmt.Sprintf("$%d", i+1), b.ID
	}
	rows, err := s.db.Read().QueryContext(ctx, `SELECT build_id, fingerprint, reuses, reused_at FROM build_keys
		WHERE (reuses > 0 OR fingerprint <> '') AND build_id IN (`+strings.Join(marks, ", ")+`)`, args...)
	if err != nil {
		return nil, fmt.Errorf("read reuse keys: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var k BuildKey
		var at int64
		if err := rows.Scan(&id, &k.Fingerprint, &k.Reuses, &at); err != nil {
			return nil, fmt.Errorf("read reuse keys: %w", err)
		}
		k.LastReusedAt = FromMillis(at)
		keys[id] = k
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read reuse keys: %w", err)
	}
	return keys, nil
}
