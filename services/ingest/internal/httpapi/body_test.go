package httpapi

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func TestStallTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, moved, stop := WithStallTimeout(t.Context())
		defer stop()
		r := ProgressReader{iotest.OneByteReader(strings.NewReader("abc")), moved}
		for range 3 { // slow, and alive
			<-time.After(transferStall - time.Second)
			if _, err := r.Read(make([]byte, 1)); err != nil || ctx.Err() != nil {
				t.Fatalf("after a byte: %v, %v", err, ctx.Err())
			}
		}
		begin := time.Now()
		<-ctx.Done()
		if took := time.Since(begin); took != transferStall || !errors.Is(context.Cause(ctx), ErrStalled) {
			t.Errorf("ended after %s by %v", took, context.Cause(ctx))
		}
	})
}

func TestTrackErrors(t *testing.T) {
	t.Parallel()
	whole, cut := TrackErrors(strings.NewReader("abc")), TrackErrors(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("abc"))))
	if whole.Ended() || whole.Broken() != nil {
		t.Error("ended before it was read")
	}
	if _, err := io.ReadAll(whole); err != nil || !whole.Ended() || whole.Broken() != nil {
		t.Errorf("a whole body: %v, broken %v", err, whole.Broken())
	}
	if _, err := io.ReadAll(cut); err == nil || !errors.Is(cut.Broken(), iotest.ErrTimeout) {
		t.Errorf("a cut body: %v, broken %v", err, cut.Broken())
	}
}
