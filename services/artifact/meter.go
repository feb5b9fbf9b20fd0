package artifact

import (
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
)

// meter holds the service's counters; without an exporter they cost nothing.
type meter struct {
	stored, storedBytes, served, servedBytes, broken, swept metric.Int64Counter
}

func newMeter() (*meter, error) {
	m := otel.Meter("github.com/expo-free-agent/freeagent/services/artifact")
	out := &meter{}
	for _, c := range []struct {
		to         *metric.Int64Counter
		name, text string
	}{
		{&out.stored, "freeagent.artifact.uploads", "Uploads stored."},
		{&out.storedBytes, "freeagent.artifact.upload.bytes", "Bytes stored."},
		{&out.served, "freeagent.artifact.downloads", "Downloads served to the end."},
		{&out.servedBytes, "freeagent.artifact.download.bytes", "Bytes served."},
		{&out.broken, "freeagent.artifact.broken_reads", "Downloads ended because the stored bytes were missing or damaged."},
		{&out.swept, "freeagent.artifact.swept", "Objects removed because nobody kept them."},
	} {
		counter, err := m.Int64Counter(c.name, metric.WithDescription(c.text))
		if err != nil {
			return nil, fmt.Errorf("counter %s: %w", c.name, err)
		}
		*c.to = counter
	}
	return out, nil
}
