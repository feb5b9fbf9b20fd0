package janitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/cache"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/catalog"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// Config of a janitor.
type Config struct {
	// Interval between two sweeps.
	Interval time.Duration
	// StaleUploadAge is when the uploads of a crashed process are aborted.
	StaleUploadAge time.Duration
	// ExpiredMark is how long the log of an expired build is remembered as such.
	ExpiredMark time.Duration
}

// Deps are what a janitor works with.
type Deps struct {
	Catalog   *catalog.Catalog
	Logs      *store.Logs
	Scheduler schedulerv1.SchedulerServiceClient
	// PurgeLines deletes all lines of a build from the bus.
	PurgeLines func(ctx context.Context, buildID string) error
	// Cache is the shared cache of builds.
	Cache *cache.Cache
}

// Janitor removes objects that nobody keeps, and what is stored of expired builds.
type Janitor struct {
	cfg        Config
	catalog    *catalog.Catalog
	logs       *store.Logs
	scheduler  schedulerv1.SchedulerServiceClient
	purgeLines func(ctx context.Context, buildID string) error
	cache      *cache.Cache
}

// New returns a janitor.
func New(cfg Config, d Deps) *Janitor {
	return &Janitor{cfg: cfg, catalog: d.Catalog, logs: d.Logs, scheduler: d.Scheduler, purgeLines: d.PurgeLines, cache: d.Cache}
}

// sweepBatch bounds one sweep.
const sweepBatch = 500

// Run sweeps every Config.Interval until ctx ends. A sweep that fails is repeated at the next turn.
func (j *Janitor) Run(ctx context.Context) error {
	return backoff.Loop{Doing: "sweep objects", Every: j.cfg.Interval, AtOnce: true, Log: j.catalog.Log}.Run(ctx, j.sweep)
}

// sweep aborts what crashed processes left and judges what has expired.
func (j *Janitor) sweep(ctx context.Context) error {
	aborted, err := j.catalog.Objects.AbortStale(ctx, j.cfg.StaleUploadAge)
	if aborted > 0 {
		j.catalog.Log.InfoContext(ctx, "stale uploads aborted", "uploads", aborted)
	}
	if err != nil {
		err = fmt.Errorf("abort stale uploads: %w", err)
	}
	return errors.Join(err, j.sweepExpired(ctx), j.cache.Sweep(ctx), j.logs.ForgetExpired(ctx, time.Now().Add(-j.cfg.ExpiredMark)))
}

// sweepExpired keeps or removes what has expired. Replicas may do so at once: each row is won by one.
func (j *Janitor) sweepExpired(ctx context.Context) error {
	expired, err := j.catalog.Rows.Expired(ctx, time.Now(), sweepBatch)
	if err != nil {
		return err
	}
	for _, o := range expired {
		if err := j.judge(ctx, o); err != nil {
			return fmt.Errorf("object %s: %w", o.ID, err)
		}
	}
	return nil
}

// judge keeps or removes one expired object.
func (j *Janitor) judge(ctx context.Context, o store.Object) error {
	if o.State != store.Condemned {
		wanted, err := j.isNamed(ctx, o)
		if err != nil {
			return err
		}
		if wanted {
			return j.rescue(ctx, o)
		}
	}
	gone, err := j.catalog.Destroy(ctx, o)
	if gone {
		j.catalog.Meter.Swept.Add(ctx, 1)
	}
	return err
}

// rescue keeps an object that its build names: the submit or finish went through, the keep was lost.
func (j *Janitor) rescue(ctx context.Context, o store.Object) error {
	err := j.catalog.Rows.Keep(ctx, []string{o.ID})
	if catalog.IsMissing(err) {
		// A fault elsewhere. Nothing can be kept, and asking every minute does not help.
		j.catalog.Log.ErrorContext(ctx, "build refers to an object that was never uploaded", "object_id", o.ID, "build_id", o.BuildID)
		return j.catalog.Rows.ExtendUpload(ctx, o.ID, time.Now().Add(j.catalog.StagedTTL))
	}
	if err == nil {
		j.catalog.Log.InfoContext(ctx, "object kept: its build refers to it", "object_id", o.ID, "build_id", o.BuildID)
	}
	return err
}

// isNamed reports whether a build names the object. The scheduler knows, and for logs our own table. An error means that it is not
// known.
func (j *Janitor) isNamed(ctx context.Context, o store.Object) (bool, error) {
	if catalog.KindOf(o) == artifactv1.Kind_KIND_LOG {
		return j.isLog(ctx, o)
	}
	if catalog.KindOf(o) == artifactv1.Kind_KIND_CACHE {
		return j.cache.Names(ctx, o)
	}
	resp, err := j.scheduler.Get(ctx, &schedulerv1.GetRequest{BuildId: o.BuildID})
	if errors.Is(err, build.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask about build %s: %w", o.BuildID, err)
	}
	b := resp.GetBuild()
	if b.GetId() != o.BuildID {
		return false, fmt.Errorf("ask about build %s: the answer is about %q", o.BuildID, b.GetId())
	}
	for _, named := range []*eventsv1.ObjectRef{b.GetSource(), b.GetCerts(), b.GetResult(), b.GetArtifacts().GetObject()} {
		if o.ID == named.GetObjectId() {
			return true, nil
		}
	}
	return false, nil
}

// isLog reports whether an object is the log of its build.
func (j *Janitor) isLog(ctx context.Context, o store.Object) (bool, error) {
	l, err := j.logs.Log(ctx, o.BuildID)
	if catalog.IsMissing(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask about the log of %s: %w", o.BuildID, err)
	}
	return l.ObjectID == o.ID, nil
}
