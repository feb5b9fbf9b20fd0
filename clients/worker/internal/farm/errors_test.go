package farm

import (
	"errors"
	"fmt"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/build"
)

func TestRefusalsAreFinal(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err error
		// after is how many of these errors are final; 0 is never.
		after int
	}{
		"no answer":      {fmt.Errorf("stage: %w", build.ErrUnavailable), 0},
		"invalid":        {fmt.Errorf("stage: %w", build.ErrInvalid), 1},
		"internal error": {errors.New("broken"), maxInternalErrors},
	} {
		var refusals Refusals
		for n := 1; n <= 2*maxInternalErrors; n++ {
			if got, want := refusals.Final(tt.err), tt.after > 0 && n >= tt.after; got != want {
				t.Errorf("%s: Final after %d = %v, want %v", name, n, got, want)
			}
		}
	}
}

func TestIsNotHeld(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		build.ErrLeaseLost: true, build.ErrTaken: true, build.ErrFinished: true, build.ErrNoSlot: false, build.ErrUnavailable: false, nil: false,
	} {
		if got := IsNotHeld(err); got != want {
			t.Errorf("IsNotHeld(%v) = %v, want %v", err, got, want)
		}
	}
}
