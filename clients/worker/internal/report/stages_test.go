package report

import (
	"testing"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/farm"
)

// TestAReportedStageIsNotSentAgain: a wake-up may find that the report before it has sent the newest stage already.
func TestAReportedStageIsNotSentAgain(t *testing.T) {
	t.Parallel()
	s := NewStages(StagesConfig{})
	if !s.send(t.Context(), new(farm.Refusals)) {
		t.Error("send with nothing to report = false, want true")
	}
}
