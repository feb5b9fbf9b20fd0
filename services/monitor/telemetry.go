package monitor

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// batchSize and batchWait collect samples for one transaction.
	batchSize = 100
	batchWait = 100 * time.Millisecond
	// maxCPU in percent of one core and maxMemory in MB are what a sample may say; more is a fault of the machine's.
	maxCPU    = 1000
	maxMemory = 1e6
)

// batch joins samples that arrive at the same time into one transaction. Each handler waits for the one of its own, so that
// no message is acknowledged before it is stored.
type batch struct {
	store *store.Store
	in    chan entry
}

type entry struct {
	sample store.Sample
	done   chan error
}

func (m *Monitor) telemetryLoop(ctx context.Context) error {
	b := &batch{store: m.store, in: make(chan entry)}
	ended := make(chan struct{})
	// It outlives ctx until the handlers, which wait for it, have returned.
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() { defer close(ended); b.run(writing) }()
	defer func() { stop(); <-ended }()
	return m.consume(ctx, bus.Consumer{
		Stream: bus.TelemetryStream, Durable: "monitor-telemetry", Parallel: batchSize, Filters: []string{bus.TelemetrySubjects()},
	}, func(ctx context.Context, msg jetstream.Msg) error { return b.add(ctx, msg) })
}

func (b *batch) add(ctx context.Context, msg jetstream.Msg) error {
	var t eventsv1.Telemetry
	meta, err := msg.Metadata()
	if err == nil {
		err = proto.Unmarshal(msg.Data(), &t)
	}
	if err == nil {
		err = judge(msg.Subject(), &t)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", bus.ErrDrop, err)
	}
	e := entry{sample: store.Sample{Telemetry: &t, Seq: meta.Sequence.Stream}, done: make(chan error, 1)}
	select {
	case b.in <- e:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return <-e.done
}

// judge refuses what cannot be, and what is said in another's name.
func judge(subject string, t *eventsv1.Telemetry) error {
	worker, buildID, err := bus.ParseTelemetry(subject)
	switch {
	case err != nil:
		return err
	case t.GetWorkerId() != worker || t.GetBuildId() != buildID:
		return fmt.Errorf("%w: a sample of %s by %s on %s", build.ErrInvalid, t.GetBuildId(), t.GetWorkerId(), subject)
	case t.GetCpuPercent() < 0 || t.GetCpuPercent() > maxCPU, t.GetMemoryMb() < 0 || t.GetMemoryMb() > maxMemory:
		return fmt.Errorf("%w: %v %% CPU, %v MB", build.ErrInvalid, t.GetCpuPercent(), t.GetMemoryMb())
	}
	return nil
}

func (b *batch) run(ctx context.Context) {
	for {
		select {
		case first := <-b.in:
			b.write(ctx, b.collect(first))
		case <-ctx.Done():
			return
		}
	}
}

// collect waits a little for more.
func (b *batch) collect(first entry) []entry {
	all := []entry{first}
	t := time.NewTimer(batchWait)
	defer t.Stop()
	for len(all) < batchSize {
		select {
		case e := <-b.in:
			all = append(all, e)
		case <-t.C:
			return all
		}
	}
	return all
}

func (b *batch) write(ctx context.Context, all []entry) {
	samples := make([]store.Sample, len(all))
	for i, e := range all {
		samples[i] = e.sample
	}
	err := b.store.AddSamples(ctx, samples)
	for _, e := range all {
		e.done <- err
	}
}
