package soak

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Plan of a soak.
type Plan struct {
	// Binary is the freeagent program; Dir holds data and logs.
	Binary, Dir string
	// For is how long the load lasts, Every how often the process is looked at.
	For, Every time.Duration
	// Workers are processes with the fake executor and so many Slots each; Fake is what their builds are like.
	Workers, Slots int
	Fake           string
	// Pause lies between two submits for them.
	Pause time.Duration
	// Former is the number of workers of API v1. Each holds a build for Hold and posts a sample and ten lines every Post.
	Former     int
	Hold, Post time.Duration
	// Tails is how many logs are followed at once, each for up to Stay.
	Tails int
	Stay  time.Duration
	Log   *slog.Logger
}

// DefaultPlan needs less than half a core.
func DefaultPlan() Plan {
	return Plan{
		For: 30 * time.Minute, Every: 10 * time.Second,
		Workers: 2, Slots: 4, Fake: "slow=1s,lines=20", Pause: time.Second,
		Former: 4, Hold: 10 * time.Second, Post: 200 * time.Millisecond,
		Tails: 20, Stay: 20 * time.Second, Log: slog.New(slog.DiscardHandler),
	}
}

// thirds of fewer samples than this say nothing.
const leastSamples = 9

func (p Plan) validate() error {
	var faults []error
	if p.Binary == "" || p.Dir == "" {
		faults = append(faults, errors.New("name the program and a directory"))
	}
	if p.Every <= 0 || p.For < leastSamples*p.Every {
		faults = append(faults, fmt.Errorf("%s with a look every %s: want at least %d looks", p.For, p.Every, leastSamples))
	}
	if p.Workers < 1 || p.Slots < 1 || p.Former < 0 || p.Tails < 0 {
		faults = append(faults, errors.New("want at least one worker and slot, and no number below 0"))
	}
	if p.Pause <= 0 || p.Hold <= 0 || p.Post <= 0 || p.Stay <= 0 {
		faults = append(faults, errors.New("times must be more than 0"))
	}
	return errors.Join(faults...)
}
