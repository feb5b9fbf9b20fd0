package retention_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/retention"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// BenchmarkPlan is what one look at 100,000 ended builds of 50 projects costs, of which nothing expires: the rule.
func BenchmarkPlan(b *testing.B) {
	const builds = 100_000
	for name, open := range map[string]func(testing.TB) string{"sqlite": databasetest.SQLite, "postgres": databasetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			db := databasetest.Open(b, open(b))
			if _, err := store.New(b.Context(), db); err != nil {
				b.Fatal(err)
			}
			err := db.WithTx(b.Context(), func(tx *database.Tx) error {
				for i := range builds {
					one := ended{id: fmt.Sprint("b", i), project: fmt.Sprint("p", i%50), branch: fmt.Sprint("branch-", i%7), age: time.Duration(i) * time.Minute, bytes: 1}
					if err := insert(b.Context(), tx, one, start); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			s := retention.NewStore(db)
			ps := retention.Policies{Farm: retention.Policy{MaxAge: 365 * day, MaxBuilds: builds, MaxBytes: builds, FarmBytes: builds, KeepLast: true, SetAt: start.Add(-2 * day), EffectiveAt: start.Add(-day)}}
			for b.Loop() {
				err := s.Plan(b.Context(), ps, start, hour, func(c retention.Candidate) bool { b.Errorf("%s expires by %s", c.ID, c.Rule); return false })
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
