package build

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// allStages is a name that stands for every stage.
const allStages = "all"

// HeartbeatTimeouts are how long the heartbeat of an attempt may be missing, by stage. As a setting it is written
// install=5m,pods=10m; all=5m sets those that are not named.
type HeartbeatTimeouts map[Stage]time.Duration

// UnmarshalText sets the timeouts of the stages that text names and keeps those of others.
func (t *HeartbeatTimeouts) UnmarshalText(text []byte) error {
	named := map[Stage]time.Duration{}
	for part := range strings.SplitSeq(string(text), ",") {
		stage, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		d, err := time.ParseDuration(strings.TrimSpace(value))
		if stage = strings.TrimSpace(stage); !ok || err != nil || stage == "" {
			return fmt.Errorf("heartbeat timeouts must be stages and durations such as install=5m,pods=10m (got %q)", part)
		}
		named[Stage(stage)] = d
	}
	merged := maps.Clone(*t)
	if merged == nil {
		merged = HeartbeatTimeouts{}
	}
	if all, ok := named[allStages]; ok {
		delete(named, allStages)
		for _, stage := range Stages() {
			merged[stage] = all
		}
	}
	maps.Copy(merged, named)
	*t = merged
	return nil
}

// MarshalText returns the timeouts as UnmarshalText reads them, in the order of the stages.
func (t HeartbeatTimeouts) MarshalText() ([]byte, error) {
	stages := Stages()
	for _, stage := range slices.Sorted(maps.Keys(t)) {
		if !slices.Contains(stages, stage) {
			stages = append(stages, stage)
		}
	}
	var parts []string
	for _, stage := range stages {
		if d, ok := t[stage]; ok {
			parts = append(parts, fmt.Sprintf("%s=%s", stage, shortest(d)))
		}
	}
	return []byte(strings.Join(parts, ",")), nil
}

// shortest is 5m where time.Duration prints 5m0s.
func shortest(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Validate returns an error that names each timeout that is not of whole seconds from 1s to 1h. The bus knows no finer ones.
func (t HeartbeatTimeouts) Validate() error {
	var faults []error
	for _, stage := range slices.Sorted(maps.Keys(t)) {
		if d := t[stage]; d < time.Second || d > time.Hour || d%time.Second != 0 {
			faults = append(faults, fmt.Errorf("heartbeat timeout of stage %s must be whole seconds, 1s to 1h (got %s)", stage, d))
		}
	}
	return errors.Join(faults...)
}
