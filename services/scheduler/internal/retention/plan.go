package retention

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// Candidate is a build that may go.
type Candidate struct {
	ID, Project, State string
	FinishedAt         time.Time
	// Bytes of its source, certificates and result.
	Bytes int64
	Rule  Rule
}

// plan reads candidates, the oldest first. Each step narrows the one before:
//
//	own     the projects with a policy of their own; the farm's comes as parameters
//	ended   builds that have ended, with what is stored of them
//	ranked  their place, newest first: in the project, its bytes, and among the successful ones of their branch
//	judged  the first rule that they break, unless they are exempt
//	summed  the bytes of the whole farm, of what is left
//
// The newest come first in every sum, and exempt builds count: what expires is always older than what stays, but for those.
const plan = `WITH own (project, max_age, max_builds, max_bytes, keep_last, keep_last_age, active) AS (VALUES %s),
ended AS (
	SELECT b.seq, b.id, b.project, b.platform, b.profile, b.branch, b.state, b.finished_at, %s AS bytes,
		CASE WHEN EXISTS (SELECT 1 FROM build_pins p WHERE p.build_id = b.id) OR EXISTS (SELECT 1 FROM builds n
			WHERE n.repack_from <> '' AND n.repack_from = b.id AND n.state NOT IN ('completed', 'failed', 'cancelled')) THEN 1 ELSE 0 END AS pinned,
		coalesce((SELECT k.reused_at FROM build_keys k WHERE k.build_id = b.id), 0) AS reused_at,
		coalesce(own.max_age, %s) AS max_age, coalesce(own.max_builds, %s) AS max_builds, coalesce(own.max_bytes, %s) AS max_bytes,
		coalesce(own.keep_last, %s) AS keep_last, coalesce(own.keep_last_age, %s) AS keep_last_age, coalesce(own.active, %s) AS active
	FROM builds b LEFT JOIN own ON own.project = b.project
	WHERE b.state IN ('completed', 'failed', 'cancelled')),
ranked AS (
	SELECT ended.*, row_number() OVER newest AS place, sum(bytes) OVER newest AS upto,
		row_number() OVER (PARTITION BY project, platform, profile, branch, state ORDER BY finished_at DESC, seq DESC) AS nth
	FROM ended WINDOW newest AS (PARTITION BY project ORDER BY finished_at DESC, seq DESC ROWS UNBOUNDED PRECEDING)),
exempted AS (
	SELECT ranked.*, CASE WHEN pinned = 1 OR active = 0 OR finished_at > %s OR reused_at > %s
		OR keep_last = 1 AND state = 'completed' AND nth = 1 AND (keep_last_age = 0 OR finished_at >= %s - keep_last_age)
		THEN 1 ELSE 0 END AS exempt
	FROM ranked),
judged AS (
	SELECT exempted.*, CASE WHEN exempt = 1 THEN ''
		WHEN max_age > 0 AND finished_at < %s - max_age THEN 'age'
		WHEN max_builds > 0 AND place > max_builds THEN 'count'
		WHEN max_bytes > 0 AND upto > max_bytes THEN 'bytes' ELSE '' END AS rule
	FROM exempted),
summed AS (
	SELECT judged.*, sum(CASE WHEN rule = '' THEN bytes ELSE 0 END)
		OVER (ORDER BY finished_at DESC, seq DESC ROWS UNBOUNDED PRECEDING) AS farm_upto
	FROM judged)
SELECT id, project, state, finished_at, bytes, CASE WHEN rule <> '' THEN rule ELSE 'farm_bytes' END FROM summed
WHERE rule <> '' OR exempt = 0 AND %s > 0 AND farm_upto > %s
ORDER BY finished_at, seq`

// reuseHold is how long a build stays after it was reused, so that its result can be downloaded.
const reuseHold = time.Hour

// sizeOf reads the bytes out of the references of a build, which are JSON texts, empty for none.
func sizeOf(dialect database.Dialect) string {
	size := `coalesce(CAST(json_extract(nullif(b.%[1]s, ''), '$.size') AS INTEGER), 0)`
	if dialect == database.PostgreSQL {
		size = `coalesce((nullif(b.%[1]s, '')::json ->> 'size')::bigint, 0)`
	}
	sum := make([]string, 0, 3)
	for _, column := range []string{"source", "certs", "result"} {
		sum = append(sum, fmt.Sprintf(size, column))
	}
	return strings.Join(sum, " + ")
}

// query fills in the plan; every value is a parameter.
func (s *Store) query(ps Policies, now time.Time, minAge time.Duration) (q string, args []any) {
	number := func(n int64) string {
		args = append(args, n)
		return fmt.Sprintf("CAST($%d AS BIGINT)", len(args))
	}
	text := func(t string) string {
		args = append(args, t)
		return fmt.Sprintf("CAST($%d AS TEXT)", len(args))
	}
	columns := func(p Policy, from time.Time) []any {
		return []any{
			number(p.MaxAge.Milliseconds()), number(p.MaxBuilds), number(p.MaxBytes), number(bit(p.KeepLast)),
			number(p.KeepLastAge.Milliseconds()), number(bit(!p.SetAt.IsZero() && !from.After(now))),
		}
	}
	// A project without a name has the farm's policy; this row keeps the list from being empty.
	rows := []string{"(CAST(NULL AS TEXT), 0, 0, 0, 0, 0, 0)"}
	for _, own := range ps.Projects {
		p, from, _ := ps.Of(own.Project)
		rows = append(rows, "("+text(own.Project)+fmt.Sprintf(", %s, %s, %s, %s, %s, %s)", columns(p, from)...))
	}
	parts := append([]any{strings.Join(rows, ", "), sizeOf(s.db.Dialect())}, columns(ps.Farm, ps.Farm.EffectiveAt)...)
	at := now.UnixMilli()
	farmBytes := ps.Farm.FarmBytes
	if ps.Farm.SetAt.IsZero() || ps.Farm.EffectiveAt.After(now) {
		farmBytes = 0
	}
	parts = append(parts, number(now.Add(-minAge).UnixMilli()), number(now.Add(-reuseHold).UnixMilli()), number(at), number(at), number(farmBytes), number(farmBytes))
	return fmt.Sprintf(plan, parts...), args
}

// Plan calls take for each build that expires by the policies now, the oldest first, until take returns false.
func (s *Store) Plan(ctx context.Context, ps Policies, now time.Time, minAge time.Duration, take func(Candidate) bool) error {
	q, args := s.query(ps, now, minAge)
	rows, err := s.db.Read().QueryContext(ctx, q, args...)
	if err != nil {
		return fmt.Errorf("plan what expires: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var c Candidate
		var finished int64
		if err := rows.Scan(&c.ID, &c.Project, &c.State, &finished, &c.Bytes, &c.Rule); err != nil {
			return fmt.Errorf("plan what expires: %w", err)
		}
		c.FinishedAt = store.FromMillis(finished)
		if !take(c) {
			return nil
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("plan what expires: %w", err)
	}
	return nil
}
