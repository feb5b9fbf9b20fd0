package httpapi

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

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
