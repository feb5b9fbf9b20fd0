package standalone_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// largeProject is a project that does not lie in the database.
func largeProject(t *testing.T) *bytes.Buffer {
	t.Helper()
	picture := make([]byte, 2*api.SmallObject)
	_, _ = rand.Read(picture) // it never fails
	return packed(t, map[string]string{"picture": string(picture)})
}

// damages are what may become of an object's file.
func damages(t *testing.T) map[string]func(path string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	return map[string]func(path string){
		"missing":   func(path string) { must(os.Remove(path)) },
		"truncated": func(path string) { must(os.Truncate(path, 1000)) },
		"changed": func(path string) {
			data, err := os.ReadFile(path)
			must(err)
			data[len(data)/2] ^= 0xff
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0) // the file keeps its attributes
			must(err)
			_, err = f.Write(data)
			must(errors.Join(err, f.Close()))
		},
	}
}

// newObject returns the file of the object that came since before.
func (f *farm) newObject(before []string) string {
	f.t.Helper()
	now := slices.DeleteFunc(visibleObjects(f.t, f.dir), func(path string) bool { return slices.Contains(before, path) })
	if len(now) != 1 {
		f.t.Fatalf("new objects: %v, want one", now)
	}
	return now[0]
}

// TestDamagedSourceFailsAtOnce: no other worker would find another source, so the build ends with the reason at its first attempt.
func TestDamagedSourceFailsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	ids := map[string]string{}
	for what, damage := range damages(t) {
		before := visibleObjects(t, f.dir)
		sub, err := f.client().Builds.Submit(t.Context(), api.Submit{Platform: "android", Source: largeProject(t)})
		if err != nil {
			t.Fatal(err)
		}
		damage(f.newObject(before))
		ids[what] = sub.ID
	}
	began := time.Now()
	f.worker("w", "")
	for what, id := range ids {
		b := f.becomes(id, "the build with a source that is "+what+" ends", api.Build.Final)
		if b.Status != "failed" || len(b.Attempts) != 1 || !strings.Contains(b.Error, "source of this build is missing or damaged") {
			t.Errorf("%s: %s after %d attempts, %q, want failed at the first because of the source", what, b.Status, len(b.Attempts), b.Error)
		}
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("all three took %s, want no waiting", took)
	}
}

// TestDamagedResultIsSaid: a result that is not what the worker sent is refused with its code, as documented.
func TestDamagedResultIsSaid(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.worker("w", "size=100KiB")
	for what, damage := range damages(t) {
		before := visibleObjects(t, f.dir)
		b := f.completedOnce(f.submit())
		damage(f.newObject(before))
		c, err := api.New(api.Config{BaseURL: f.url(), Key: farmKey, RetryFor: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Builds.DownloadResult(t.Context(), b, &bytes.Buffer{}, 0, nil, nil)
		var refused *api.Error
		if !errors.Is(err, build.ErrObjectCorrupt) || !errors.As(err, &refused) || refused.Status != 500 || refused.Code != "object_corrupt" {
			t.Errorf("%s: Download = %v (%+v), want 500 object_corrupt", what, err, refused)
		}
	}
}
