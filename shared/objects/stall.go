package objects

import (
	"context"
	"time"
)

// watchdog cancels a transfer that moves no byte.
type watchdog struct {
	timer  *time.Timer
	limit  time.Duration
	cancel context.CancelCauseFunc
	detach func() bool
}

// watch returns a context for the requests of one upload. It ends with
// ErrStalled when nothing touches the watchdog for limit, and cancelGrace
// after ctx ends, with ctx's cause. The caller must call stop.
func watch(ctx context.Context, limit time.Duration) (context.Context, *watchdog) {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	detach := context.AfterFunc(ctx, func() {
		time.AfterFunc(cancelGrace, func() { cancel(context.Cause(ctx)) })
	})
	dog := &watchdog{limit: limit, cancel: cancel, detach: detach}
	dog.timer = time.AfterFunc(limit, func() { cancel(ErrStalled) })
	return work, dog
}

// watchReads is watch for downloads: ctx ends the transfer at once, and the
// timer runs only between touch and pause.
func watchReads(ctx context.Context, limit time.Duration) (context.Context, *watchdog) {
	work, cancel := context.WithCancelCause(ctx)
	dog := &watchdog{limit: limit, cancel: cancel, detach: func() bool { return true }}
	dog.timer = time.AfterFunc(limit, func() { cancel(ErrStalled) })
	return work, dog
}

// touch says that bytes moved.
func (w *watchdog) touch() { w.timer.Reset(w.limit) }

// allow gives one step d instead of the usual limit; the next touch ends it.
func (w *watchdog) allow(d time.Duration) { w.timer.Reset(d) }

// pause stops the clock while the consumer, not the store, is at work.
func (w *watchdog) pause() { w.timer.Stop() }

// stop frees the timer and the context.
func (w *watchdog) stop() {
	w.detach()
	w.timer.Stop()
	w.cancel(context.Canceled)
}
