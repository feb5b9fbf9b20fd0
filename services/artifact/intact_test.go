package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/objects"
)

// startsWith runs another replica on the farm's database and the given object store, and returns why it did not start.
func (f *farm) startsWith(store objects.Store, acceptEmpty bool) error {
	f.t.Helper()
	cfg := f.cfg
	cfg.AcceptEmpty = acceptEmpty
	service, err := artifact.New(cfg, artifact.Deps{DB: f.db, Store: store, Conn: f.bus.Connect("artifact"), Log: f.slog()})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	select {
	case <-service.Ready():
		cancel()
		return <-ended
	case err := <-ended:
		cancel()
		return err
	}
}

// TestStoreBelongsToTheDatabase: a bucket that is missing or empty beside a database that names objects is a refusal that says the
// cure, and makes nothing. Once accepted, it is accepted.
func TestStoreBelongsToTheDatabase(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		f := setup(t, option{db: open(t)})
		refused := func(store objects.Store, want string) {
			t.Helper()
			err := f.startsWith(store, false)
			if !errors.Is(err, artifact.ErrNotIntact) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--accept-empty") {
				t.Errorf("Run = %v, want a refusal with %q and the cure", err, want)
			}
		}
		exists := func(store objects.Store) bool {
			t.Helper()
			there, err := store.BucketExists(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return there
		}
		f.stored("b0", source, zipOf(t, "a", nil)) // lies in the database
		if err := f.startsWith(newS3(t), false); err != nil {
			t.Errorf("Run without an object in the store = %v", err)
		}

		f.keep(f.stored("b1", source, zipOf(t, "a", bytes.Repeat([]byte{7}, 2*api.SmallObject))).GetObjectId())
		missing := newS3(t)
		refused(missing, "the bucket does not exist")
		if exists(missing) {
			t.Error("the bucket was made")
		}
		empty := newS3(t)
		if err := empty.EnsureBucket(t.Context()); err != nil {
			t.Fatal(err)
		}
		refused(empty, "none of the objects")
		for _, store := range []objects.Store{missing, empty} {
			for _, accept := range []bool{true, false} {
				if err := f.startsWith(store, accept); err != nil {
					t.Errorf("Run with accept=%v = %v", accept, err)
				}
			}
		}
		if err := f.startsWith(f.store, false); err != nil {
			t.Errorf("Run with the right bucket = %v", err)
		}
	})
}

// TestSomeObjectsAreMissing: one object that is gone is told, and no reason to stay away.
func TestSomeObjectsAreMissing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, id := range []string{"b1", "b2"} {
		f.keep(f.stored(id, source, zipOf(t, id, bytes.Repeat([]byte{7}, 2*api.SmallObject))).GetObjectId())
	}
	if err := f.store.Delete(t.Context(), f.keys()[0]); err != nil {
		t.Fatal(err)
	}
	if err := f.startsWith(f.store, false); err != nil {
		t.Fatalf("Run = %v", err)
	}
	if log := f.log.String(); !strings.Contains(log, "objects are missing") || !strings.Contains(log, "missing=1") {
		t.Errorf("the log says nothing of the missing object: %s", log)
	}
}
