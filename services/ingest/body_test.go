package ingest

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
)

func TestWatchdog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, moved, stop := watchdog(t.Context())
		defer stop()
		r := movingReader{iotest.OneByteReader(strings.NewReader("abc")), moved}
		for range 3 { // slow, and alive
			<-time.After(transferStall - time.Second)
			if _, err := r.Read(make([]byte, 1)); err != nil || ctx.Err() != nil {
				t.Fatalf("after a byte: %v, %v", err, ctx.Err())
			}
		}
		begin := time.Now()
		<-ctx.Done()
		if took := time.Since(begin); took != transferStall || !errors.Is(context.Cause(ctx), errStalled) {
			t.Errorf("ended after %s by %v", took, context.Cause(ctx))
		}
	})
}

func TestBrokenForm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ err, want error }{
		{io.ErrUnexpectedEOF, build.ErrInvalid}, {os.ErrDeadlineExceeded, errStalled},
	} {
		if got := brokenForm(c.err); !errors.Is(got, c.want) {
			t.Errorf("brokenForm(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}

func TestTracked(t *testing.T) {
	t.Parallel()
	whole, cut := &tracked{r: strings.NewReader("abc")}, &tracked{r: iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("abc")))}
	if whole.ended() || whole.broken() != nil {
		t.Error("ended before it was read")
	}
	if _, err := io.ReadAll(whole); err != nil || !whole.ended() || whole.broken() != nil {
		t.Errorf("a whole body: %v, broken %v", err, whole.broken())
	}
	if _, err := io.ReadAll(cut); err == nil || !errors.Is(cut.broken(), iotest.ErrTimeout) {
		t.Errorf("a cut body: %v, broken %v", err, cut.broken())
	}
}
