package worker

import (
	"log/slog"
	"testing"
)

// TestAStageThatWasToldIsNotToldAgain: a wake-up may find that the report before it has told the newest stage already.
func TestAStageThatWasToldIsNotToldAgain(t *testing.T) {
	t.Parallel()
	r := newReporter(nil, lease{}, nil, nil, slog.New(slog.DiscardHandler))
	if !r.report(t.Context(), new(refusals)) {
		t.Error("report with nothing to tell = false, want true")
	}
}
