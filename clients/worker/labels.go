package worker

import (
	"context"
	"maps"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// labels returns what the worker knows of itself now. The configuration's labels take precedence.
func (w *Worker) labels() build.Labels {
	all := build.Labels{}
	if detected := w.detected.Load(); detected != nil {
		maps.Copy(all, *detected)
	}
	maps.Copy(all, w.cfg.Labels)
	return all
}

func (w *Worker) abilities() *schedulerv1.Abilities {
	return &schedulerv1.Abilities{Labels: w.labels(), Offers: true}
}

// detect adds the labels that are found on the machine, and reports them. It delays nothing: a build that needs them waits for a moment.
func (w *Worker) detect(ctx context.Context) {
	if w.deps.Detect == nil {
		return
	}
	detected := w.deps.Detect(ctx)
	if ctx.Err() != nil {
		return
	}
	w.detected.Store(&detected)
	w.log.InfoContext(ctx, "labels", "labels", build.Require(w.labels()))
	w.requestSync()
}
