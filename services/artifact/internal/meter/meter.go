package meter

import (
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
)

// Meter holds the service's counters; without an exporter they cost nothing.
type Meter struct {
	Stored, StoredBytes, Served, ServedBytes, Broken, Swept metric.Int64Counter
}

// New makes the counters.
func New() (*Meter, error) {
	m := otel.Meter("github.com/expo-free-agent/freeagent/services/artifact")
	out := &Meter{}
	for _, c := range []struct {
		to         *metric.Int64Counter
		name, text string
	}{
		{&out.Stored, "freeagent.artifact.uploads", "Uploads stored."},
		{&out.StoredBytes, "freeagent.artifact.upload.bytes", "Bytes stored."},
		{&out.Served, "freeagent.artifact.downloads", "Downloads served to the end."},
		{&out.ServedBytes, "freeagent.artifact.download.bytes", "Bytes served."},
		{&out.Broken, "freeagent.artifact.broken_reads", "Downloads ended because the stored bytes were missing or damaged."},
		{&out.Swept, "freeagent.artifact.swept", "Objects removed because nobody kept them."},
	} {
		counter, err := m.Int64Counter(c.name, metric.WithDescription(c.text))
		if err != nil {
			return nil, fmt.Errorf("counter %s: %w", c.name, err)
		}
		*c.to = counter
	}
	return out, nil
}
