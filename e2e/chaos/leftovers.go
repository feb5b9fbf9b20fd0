package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/e2e/cluster"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// leftoverQueries each count what should not be there once all builds have ended and all is quiet.
func leftoverQueries() map[string]string {
	return map[string]string{
		"events that were never published": `SELECT (SELECT count(*) FROM scheduler.outbox) + (SELECT count(*) FROM monitor.outbox)`,
		"attempts that still run":          `SELECT count(*) FROM scheduler.attempts WHERE outcome = 'running'`,
		"leases that are watched":          `SELECT count(*) FROM monitor.leases`,
		"objects that are kept for a build that there is not": `SELECT count(*) FROM artifact.objects o WHERE state = 'kept'
			AND NOT EXISTS (SELECT 1 FROM scheduler.builds b WHERE b.id = o.build_id)`,
		"sources and results of builds that are not kept": `SELECT count(*) FROM scheduler.builds b WHERE EXISTS (SELECT 1
			FROM artifact.objects o WHERE o.build_id = b.id AND o.state <> 'kept' AND (position(o.id in b.source) > 0 OR position(o.id in b.result) > 0))`,
		"sources and results that are gone": `SELECT count(*) FROM scheduler.builds b WHERE
			source <> '' AND NOT EXISTS (SELECT 1 FROM artifact.objects o WHERE position(o.id in b.source) > 0)
			OR result <> '' AND NOT EXISTS (SELECT 1 FROM artifact.objects o WHERE position(o.id in b.result) > 0)`,
	}
}

// leftoverPatience is for what is still on its way: relays, keepers and archives work every few seconds.
const leftoverPatience = 90 * time.Second

// leftovers looks at the databases and the bus of a farm at rest until nothing is left over, or patience is.
func leftovers(ctx context.Context, cl *cluster.Cluster) ([]string, error) {
	url, err := cl.DatabaseURL()
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("pgx", url)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	defer db.Close()
	patient, cancel := context.WithTimeout(ctx, leftoverPatience)
	defer cancel()
	for {
		found, err := lookForLeftovers(ctx, cl, db)
		if err != nil || len(found) == 0 || !sleep(patient, 2*time.Second) {
			return found, err
		}
	}
}

func lookForLeftovers(ctx context.Context, cl *cluster.Cluster, db *sql.DB) (found []string, err error) {
	for what, query := range leftoverQueries() {
		var n int
		if err := db.QueryRowContext(ctx, query).Scan(&n); err != nil {
			return nil, fmt.Errorf("count %s: %w", what, err)
		}
		if n > 0 {
			found = append(found, fmt.Sprintf("%d %s", n, what))
		}
	}
	onBus, err := leftOnBus(ctx, cl)
	return append(found, onBus...), err
}

// leftOnBus wants no hand-out and no heartbeat of a build.
func leftOnBus(ctx context.Context, cl *cluster.Cluster) (found []string, err error) {
	nc, err := cl.Bus("chaos-leftovers")
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := bus.JetStream(nc)
	if err != nil {
		return nil, err
	}
	queue, err := js.Stream(ctx, bus.QueueStream)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", bus.QueueStream, err)
	}
	info, err := queue.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", bus.QueueStream, err)
	}
	if n := info.State.Msgs; n > 0 {
		found = append(found, fmt.Sprintf("%d hand-outs: %v", n, info.State.Subjects))
	}
	return found, nil
}
