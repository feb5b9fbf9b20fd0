package store

import (
	"context"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// Fleet reads which workers there are for a build.
type Fleet struct{ db *database.DB }

// OfferTargets returns the online workers of a pool that understand offers and do not drain, with what they hold.
func (f Fleet) OfferTargets(ctx context.Context, pool string) ([]Capacity, error) {
	return capacities(ctx, f.db, `WHERE online = 1 AND draining = 0 AND offers = 1 AND polls = 0 AND pool = $1 ORDER BY id`, pool)
}

// PoolWorkers returns the workers of a pool that do not poll, those online first, then the last seen, at most limit.
func (f Fleet) PoolWorkers(ctx context.Context, pool string, limit int32) ([]Capacity, error) {
	return capacities(ctx, f.db, `WHERE polls = 0 AND pool = $1 ORDER BY online DESC, seen_at DESC, id LIMIT $2`, pool, limit)
}

// OfferTarget returns a worker with what it holds, if it is online, understands offers and does not drain.
func (f Fleet) OfferTarget(ctx context.Context, id string) (Capacity, bool, error) {
	found, err := capacities(ctx, f.db, `WHERE id = $1 AND online = 1 AND draining = 0 AND offers = 1 AND polls = 0`, id)
	if err != nil || len(found) == 0 {
		return Capacity{}, false, err
	}
	return found[0], true, nil
}

// LastCompleted returns the last n completed builds of a project and platform, the newest first, without their objects.
func (f Fleet) LastCompleted(ctx context.Context, project string, p build.Platform, n int) ([]Build, error) {
	rows, err := f.db.Read().QueryContext(ctx, `SELECT `+briefColumns+` FROM builds
		WHERE state = 'completed' AND project = $1 AND platform = $2 AND assigned_at > 0 ORDER BY seq DESC LIMIT $3`, project, p, n)
	return collect(rows, err, "last builds of "+project)
}
