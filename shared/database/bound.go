package database

import (
	"context"
	"time"
)

// boundTime is ample for any statement of a request; longer, and the database is away or stuck.
const boundTime = 10 * time.Second

// Bound gives ctx a deadline for a few statements, unless it ends earlier: a database that is stuck must not hold a request
// for ever.
func Bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, boundTime)
}
