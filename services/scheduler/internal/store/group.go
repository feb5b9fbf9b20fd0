package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// Group are the online workers of one pool that can build the same lanes.
type Group struct {
	Pool      string
	Platforms []build.Platform
	// Polls: they have no connection to the bus, so nothing is put on offer for them.
	Polls bool
	// Offers: they understand offers that are addressed to them. Labels are those that the lanes of the query require.
	Offers bool
	Labels build.Labels
	// Workers in the group, their Slots, and those that are Free.
	Workers, Slots, Free int
}

// Can reports whether the group's workers can build what is in a lane.
func (g Group) Can(l Lane) bool {
	return Worker{Pool: g.Pool, Platforms: g.Platforms, Polls: g.Polls, Offers: g.Offers, Labels: g.Labels}.CanBuild(l)
}

// Groups counts the slots of the online workers that do not drain. One that has registered since joinedSince and has not spoken yet
// counts: it is about to. Workers differ by labels only if one of the lanes requires them: most farms have one group.
func (s *Store) Groups(ctx context.Context, joinedSince time.Time, lanes ...Lane) ([]Group, error) {
	keys := requiredKeys(lanes)
	labels := `'' AS labels, 0 AS offers`
	if len(keys) > 0 {
		labels = `labels, offers`
	}
	rows, err := s.db.Read().QueryContext(ctx, `SELECT pool, platforms, polls, labels, offers, count(*), sum(slots),
			sum(CASE WHEN slots > coalesce(n, 0) THEN slots - coalesce(n, 0) ELSE 0 END)
		FROM (SELECT id, pool, platforms, polls, `+labels+`, slots FROM workers
			WHERE draining = 0 AND (online = 1 OR registered_at > $1 AND seen_at = registered_at)
		) AS w LEFT JOIN (
			SELECT worker_id, count(*) AS n FROM builds WHERE state IN ('assigned', 'building') GROUP BY worker_id
		) AS held ON held.worker_id = w.id
		GROUP BY pool, platforms, polls, labels, offers ORDER BY pool, platforms, polls, labels, offers`, Millis(joinedSince))
	if err != nil {
		return nil, fmt.Errorf("count slots: %w", err)
	}
	defer rows.Close()
	var all []Group
	at := map[string]int{} // a group's index by what its workers have in common
	for rows.Next() {
		var g Group
		var platforms, labels string
		var polls, offers int64
		if err := rows.Scan(&g.Pool, &platforms, &polls, &labels, &offers, &g.Workers, &g.Slots, &g.Free); err != nil {
			return nil, fmt.Errorf("count slots: %w", err)
		}
		g.Platforms, g.Polls, g.Offers = platformsOf(platforms), polls != 0, offers != 0
		if g.Labels, err = only(labels, keys); err != nil {
			return nil, err
		}
		kind := fmt.Sprintf("%s %s %d %d %s", g.Pool, platforms, polls, offers, build.Require(g.Labels))
		i, known := at[kind]
		if !known {
			at[kind] = len(all)
			all = append(all, g)
			continue
		}
		all[i].Workers, all[i].Slots, all[i].Free = all[i].Workers+g.Workers, all[i].Slots+g.Slots, all[i].Free+g.Free
	}
	return all, rows.Err()
}

// requiredKeys returns the keys of labels that the lanes require.
func requiredKeys(lanes []Lane) map[string]bool {
	keys := map[string]bool{}
	for _, l := range lanes {
		for key := range l.Requires.Labels() {
			keys[key] = true
		}
	}
	return keys
}

// only returns the labels with the keys.
func only(text string, keys map[string]bool) (build.Labels, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // labels were not read
	}
	var all build.Labels
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, fmt.Errorf("labels of workers: %w", err)
	}
	for key := range all {
		if !keys[key] {
			delete(all, key)
		}
	}
	return all, nil
}
