package objects

import (
	"context"
	"time"

	"github.com/expo-free-agent/freeagent/shared/pause"
)

// watchdog cancels a transfer that moves no byte while this process runs.
type watchdog struct {
	silence *pause.Silence
	cancel  context.CancelCauseFunc
	detach  func() bool
}

// watch returns a context for the requests of one upload. It ends with
// ErrStalled when nothing touches the watchdog for limit, and cancelGrace
// after ctx ends, with ctx's cause. The caller must call stop.
func watch(ctx context.Context, limit time.Duration) (context.Context, *watchdog) {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	detach := context.AfterFunc(ctx, func() {
		time.AfterFunc(cancelGrace, func() { cancel(context.Cause(ctx)) })
	})
	dog := &watchdog{cancel: cancel, detach: detach}
	dog.silence = pause.NewSilence(limit, func() { cancel(ErrStalled) })
	return work, dog
}

// watchReads is watch for downloads: ctx ends the transfer at once, and the
// timer runs only between touch and pause.
func watchReads(ctx context.Context, limit time.Duration) (context.Context, *watchdog) {
	work, cancel := context.WithCancelCause(ctx)
	dog := &watchdog{cancel: cancel, detach: func() bool { return true }}
	dog.silence = pause.NewSilence(limit, func() { cancel(ErrStalled) })
	return work, dog
}

// touch says that bytes moved.
func (w *watchdog) touch() { w.silence.Touch() }

// allow gives one step d instead of the usual limit; the next touch ends it.
func (w *watchdog) allow(d time.Duration) { w.silence.Allow(d) }

// pause stops the clock while the consumer, not the store, is at work.
func (w *watchdog) pause() { w.silence.Suspend() }

// stop frees the timer and the context.
func (w *watchdog) stop() {
	w.detach()
	w.silence.Stop()
	w.cancel(context.Canceled)
}
