package legacyimport

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacydb"
	legacyapi "github.com/expo-free-agent/freeagent/shared/api/legacy"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/text"
)

const (
	workerPage = 200
	// maxWorkerName and maxSlots are what the server takes.
	maxWorkerName = 200
	maxSlots      = 64
)

func (r *run) workers(ctx context.Context) error {
	done := int64(0)
	for after := ""; ; {
		rows, err := r.from.Workers(ctx, after, workerPage)
		if err != nil || len(rows) == 0 {
			return err
		}
		after, done = rows[len(rows)-1].ID, done+int64(len(rows))
		if err := r.bringWorkers(ctx, rows); err != nil {
			return err
		}
		r.tell(Workers, done, r.counts.Workers)
	}
}

func (r *run) bringWorkers(ctx context.Context, rows []legacydb.Worker) error {
	req := legacyapi.Workers{Check: r.check}
	for _, w := range rows {
		if !build.ValidID(w.ID) {
			r.report.leave(Workers, w.ID, "its id cannot be used", 1)
			continue
		}
		req.Workers = append(req.Workers, worker(w))
	}
	var resp legacyapi.FoundAll
	if err := legacyapi.New(r.server).Import(ctx, "workers", req, &resp); err != nil {
		return err
	}
	return eachFound(resp, len(req.Workers), func(i int, f legacyapi.Found) {
		if f.Outcome == differs {
			r.report.differ(Workers, req.Workers[i].ID, f.Note, 1)
			return
		}
		r.report.count(Workers, f.Outcome, 1)
	})
}

// capabilitiesLabel keeps what a worker said of itself, as it said it.
const capabilitiesLabel = legacydb.CapabilitiesLabel

func worker(w legacydb.Worker) legacyapi.Worker {
	var can struct {
		Platforms []string `json:"platforms"`
		Slots     float64  `json:"maxConcurrentBuilds"`
		Xcode     string   `json:"xcode_version"`
	}
	_ = json.Unmarshal([]byte(w.Capabilities), &can) // what is no JSON says nothing
	f := legacyapi.Worker{
		ID: w.ID, Name: text.Cut(text.Line(w.Name), maxWorkerName), Slots: int(min(max(can.Slots, 1), maxSlots)),
		Labels: map[string]string{capabilitiesLabel: text.Clean(w.Capabilities)}, RegisteredAt: w.RegisteredAt, SeenAt: w.SeenAt,
	}
	if f.Name == "" {
		f.Name = w.ID
	}
	if can.Xcode != "" {
		f.Labels["xcode"] = text.Cut(text.Line(can.Xcode), maxWorkerName)
	}
	for _, p := range can.Platforms { // a word that is no platform is no reason to leave the worker out
		if _, err := build.ParsePlatform(p); err == nil && !slices.Contains(f.Platforms, p) {
			f.Platforms = append(f.Platforms, p)
		}
	}
	return f
}
