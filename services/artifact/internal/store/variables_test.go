package store_test

import (
	"testing"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// TestVariablesAllOrNone: a request that would exceed the limits changes nothing.
func TestVariablesAllOrNone(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db := open(t)
		ok(t, store.New(db).Migrate(t.Context()))
		s := store.NewVariables(db)
		v := func(environment, sealed string) store.Variable {
			return store.Variable{Environment: environment, Name: "A", Visibility: "secret", Size: 10, Sealed: []byte(sealed), WrappedKey: []byte{0, 255}, UpdatedAt: start}
		}
		ok(t, s.Set(t.Context(), "shop", []store.Variable{v("preview", "one"), v("production", "two")}, 2, 20))
		want(t, s.Set(t.Context(), "shop", []store.Variable{v("preview", "changed"), v("staging", "three")}, 2, 100), store.ErrFull)
		bigger := v("preview", "changed")
		bigger.Size = 11
		want(t, s.Set(t.Context(), "shop", []store.Variable{bigger}, 2, 20), store.ErrFull)
		all, err := s.List(t.Context(), "shop", "")
		ok(t, err)
		if len(all) != 2 || string(all[0].Sealed) != "one" || all[0].WrappedKey[1] != 255 || !all[1].UpdatedAt.Equal(start) {
			t.Errorf("List = %+v, want both as they were", all)
		}
	})
}
