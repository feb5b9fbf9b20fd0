package artifact_test

import (
	"net/http"
	"testing"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// resultOf stores the result of a build of a project.
func (f *farm) resultOf(buildID, project string, data []byte) *eventsv1.ObjectRef {
	f.t.Helper()
	f.scheduler.set(&schedulerv1.Build{Id: buildID, Project: project, Attempt: 1}, "w9")
	g, err := f.grantWorker("w9", &artifactv1.WorkerGrantRequest{
		BuildId: buildID, Attempt: 1, Kind: result, Name: "app.apk", Size: int64(len(data)), Sha256: sum(data),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if a := f.put(g, data); a.status != http.StatusOK {
		f.t.Fatalf("PUT = %d %s", a.status, a.body)
	}
	f.keep(g.GetObjectId())
	return f.stat(g.GetObjectId()).GetObject()
}

// TestRepackSource: an attempt reads the result of the one build that the scheduler recorded, and no other, whatever it asks for.
func TestRepackSource(t *testing.T) {
	t.Parallel()
	f := setup(t)
	app := noise(1000)
	mine, others, foreign := f.resultOf("old", "shop", app), f.resultOf("older", "shop", noise(999)), f.resultOf("secret", "bank", noise(998))
	src := f.stored("old", source, zipOf(t, "a", nil))
	from := func(id string, ref *eventsv1.ObjectRef) *schedulerv1.RepackSource {
		return &schedulerv1.RepackSource{BuildId: id, Result: ref}
	}
	for name, c := range map[string]struct {
		// recorded is repack_from of the build, told what the scheduler says of it.
		recorded string
		told     *schedulerv1.RepackSource
		worker   string
		change   func(*artifactv1.WorkerGrantRequest)
		want     error
	}{
		"its own":                      {recorded: "old", told: from("old", mine)},
		"asked by name":                {recorded: "old", told: from("old", mine), change: func(r *artifactv1.WorkerGrantRequest) { r.Name, r.Size, r.Sha256 = "secret", 998, sum(noise(998)) }},
		"a native build":               {want: build.ErrObjectNotFound},
		"a native build, told of one":  {told: from("old", mine), want: build.ErrObjectNotFound},
		"an expired source":            {recorded: "old", want: build.ErrObjectNotFound},
		"another build than recorded":  {recorded: "old", told: from("older", others), want: build.ErrObjectNotFound},
		"another build's result":       {recorded: "old", told: from("old", others), want: build.ErrObjectNotFound},
		"a result of another project":  {recorded: "secret", told: from("secret", foreign), want: build.ErrObjectNotFound},
		"the source of that build":     {recorded: "old", told: from("old", src), want: build.ErrObjectNotFound},
		"a result that is gone":        {recorded: "old", told: from("old", &eventsv1.ObjectRef{ObjectId: "gone"}), want: build.ErrObjectNotFound},
		"another worker":               {recorded: "old", told: from("old", mine), worker: "w2", want: build.ErrLeaseLost},
		"a past attempt":               {recorded: "old", told: from("old", mine), change: func(r *artifactv1.WorkerGrantRequest) { r.Attempt = 1 }, want: build.ErrLeaseLost},
		"in the name of the old build": {recorded: "old", told: from("old", mine), change: func(r *artifactv1.WorkerGrantRequest) { r.BuildId = "old" }, want: build.ErrLeaseLost},
		"a build id that is none":      {recorded: "old", told: from("old", mine), change: func(r *artifactv1.WorkerGrantRequest) { r.BuildId = "../old" }, want: build.ErrInvalid},
	} {
		f.scheduler.set(&schedulerv1.Build{Id: "new", Project: "shop", Attempt: 2, Settings: &schedulerv1.BuildSettings{RepackFrom: c.recorded}}, "w1")
		f.scheduler.repack("new", c.told)
		worker := c.worker
		if worker == "" {
			worker = "w1"
		}
		req := &artifactv1.WorkerGrantRequest{BuildId: "new", Attempt: 2, Kind: artifactv1.Kind_KIND_REPACK_SOURCE}
		if c.change != nil {
			c.change(req)
		}
		g, err := f.grantWorker(worker, req)
		t.Run(name, func(t *testing.T) {
			wantIs(t, err, c.want)
			if err != nil {
				return
			}
			if g.GetMethod() != http.MethodGet || sum(f.get(g).body) != sum(app) || g.GetObject().GetSha256() != sum(app) {
				t.Errorf("grant = %v", g)
			}
			if a := f.put(g, app); a.status != http.StatusUnauthorized {
				t.Errorf("PUT with it = %d, want 401", a.status)
			}
		})
	}
}

func (s *scheduler) repack(id string, from *schedulerv1.RepackSource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repacks[id] = from
}
