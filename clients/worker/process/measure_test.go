//go:build linux || darwin

package process_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/process"
)

// TestMeasure: a tree that counts as fast as it can uses CPU, has memory, and is as many processes as it is; when it has ended
// it is nothing.
func TestMeasure(t *testing.T) {
	t.Parallel()
	s := shell(t, `(while :; do :; done) & (while :; do :; done) & wait`)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- process.Run(ctx, s) }()
	var u process.Usage
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline) && u.CPU < 200*time.Millisecond; <-time.After(20 * time.Millisecond) {
		var err error
		if u, err = process.Measure(s.Mark); err != nil {
			t.Fatal(err)
		}
	}
	if u.CPU < 200*time.Millisecond || u.Processes != 3 || u.Memory < 100<<10 || u.Memory > 1<<30 {
		t.Errorf("Measure = %+v, want three busy shells", u)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want %v", err, context.Canceled)
	}
	if u, err := process.Measure(s.Mark); err != nil || u != (process.Usage{}) {
		t.Errorf("Measure after the end = %+v, %v, want nothing", u, err)
	}
}

// TestMeasureCountsTheEnded: what a child used that has ended is its parent's.
func TestMeasureCountsTheEnded(t *testing.T) {
	t.Parallel()
	s := shell(t, `i=0; /bin/sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; STUBBORN=pid "$HELPER"`)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- process.Run(ctx, s) }()
	awaitPid(t, s.Dir+"/pid")
	u, err := process.Measure(s.Mark)
	if err != nil || u.CPU < 30*time.Millisecond || u.Processes < 1 {
		t.Errorf("Measure = %+v, %v, want what the loop used", u, err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want %v", err, context.Canceled)
	}
}
