//go:build linux || darwin

package worker_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker"
	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// cacheGrants answers about entries of a cache that has all of them, with bytes that the farm cannot give.
func cacheGrants(have bool) func(*artifactv1.WorkerGrantRequest) *artifactv1.WorkerGrantResponse {
	return func(r *artifactv1.WorkerGrantRequest) *artifactv1.WorkerGrantResponse {
		resp := &artifactv1.WorkerGrantResponse{Cache: &artifactv1.CacheAnswer{Enabled: true, Present: have && !r.GetCacheWrite(), Trusted: true}}
		if resp.GetCache().GetPresent() || r.GetSize() > 0 {
			resp.Grant = cacheGrant(r)
		}
		return resp
	}
}

func cacheGrant(r *artifactv1.WorkerGrantRequest) *artifactv1.Grant {
	return &artifactv1.Grant{Method: http.MethodGet, Url: api.ObjectsPath, Headers: map[string]string{api.TicketHeader: "cache." + r.GetCacheName()}}
}

// TestSharedCacheIsAway: a store that is away, an answer that never comes and a farm of before cost a line at most, and no build.
func TestSharedCacheIsAway(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		cache func(*artifactv1.WorkerGrantRequest) *artifactv1.WorkerGrantResponse
		grant error
		// status answers transfers of entries; 0: the worker's request hangs until it gives up.
		status   int
		has, not string
	}{
		"off":                  {not: "farm's cache"},
		"an older farm":        {grant: fmt.Errorf("%w: unknown kind of object 17", build.ErrInvalid), not: "farm's cache"},
		"the store is away":    {cache: cacheGrants(true), status: 503, has: "install is not taken from the farm's cache: "},
		"the entry is gone":    {cache: cacheGrants(true), status: 404, has: "install is not taken from the farm's cache: "},
		"no answer to a grant": {grant: build.ErrUnavailable, has: "install is not taken from the farm's cache: "},
		"uploads hang":         {cache: cacheGrants(false), has: "install goes to the farm's cache: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t)
			f.onCache = tt.cache
			f.onGrant = func(r *artifactv1.WorkerGrantRequest) error {
				if r.GetKind() == artifactv1.Kind_KIND_CACHE {
					return tt.grant
				}
				return nil
			}
			var hanging sync.WaitGroup
			t.Cleanup(hanging.Wait)
			f.onHTTP = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasPrefix(r.Header.Get(api.TicketHeader), "cache.") {
					return false
				}
				if tt.status == 0 {
					hanging.Add(1)
					defer hanging.Done()
					_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that the worker gives up
					<-r.Context().Done()
					return true
				}
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(tt.status)
				fmt.Fprintf(w, `{"status":%d,"code":"%s","detail":"no"}`, tt.status, map[int]string{503: "unavailable", 404: "object_not_found"}[tt.status])
				return true
			}
			gateway, err := api.New(api.Config{BaseURL: f.http.URL, Key: apiKey, RetryFor: 300 * time.Millisecond})
			must(t, err)
			f.startWith(f.shell(t.TempDir()), nil, func(d *worker.Deps) { d.Gateway = gateway })
			id := f.submitWith(workspaceApp(t, ""), func(b *schedulerv1.Build) {
				b.Project, b.Settings, b.Origin = "shop", &schedulerv1.BuildSettings{AppPath: "apps/shop"}, &schedulerv1.Origin{Branch: "main"}
			})
			got := f.finished(id)
			log := f.logOf(id)
			if got.GetOutcome() != completed || !strings.Contains(log, tt.has) || tt.not != "" && strings.Contains(log, tt.not) {
				t.Errorf("finish = %v; the log should have %q and not %q:\n%s", got, tt.has, tt.not, log)
			}
		})
	}
}
