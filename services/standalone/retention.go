package standalone

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

// retentionVariables lays what the environment says about retention and streams over the scheduler's settings.
func retentionVariables(cfg *Config, getenv func(string) string) error {
	r := &cfg.Scheduler.Retention
	var faults []error
	for name, into := range map[string]*time.Duration{
		"FREEAGENT_RETENTION_AGE": &r.Seed.MaxAge, "FREEAGENT_RETENTION_KEEP_LAST_AGE": &r.Seed.KeepLastAge,
		"FREEAGENT_RETENTION_WORKER_AGE": &r.Seed.WorkerAge, "FREEAGENT_RETENTION_NOTICE": &r.Notice,
		"FREEAGENT_RETENTION_MIN_AGE": &r.MinAge, "FREEAGENT_RETENTION_TRACE": &r.Trace, "FREEAGENT_RETENTION_EVERY": &r.Every,
	} {
		if text := getenv(name); text != "" {
			d, err := time.ParseDuration(text)
			if err != nil {
				faults = append(faults, fmt.Errorf("%s=%s: want a duration such as 90s or 720h", name, text))
			}
			*into = d
		}
	}
	for name, into := range map[string]struct {
		value *int64
		shift int
	}{
		"FREEAGENT_RETENTION_BUILDS": {&r.Seed.MaxBuilds, 0}, "FREEAGENT_RETENTION_PROJECT_MB": {&r.Seed.MaxBytes, 20},
		"FREEAGENT_RETENTION_FARM_MB": {&r.Seed.FarmBytes, 20}, "FREEAGENT_STREAM_STORAGE_MB": {&cfg.Scheduler.StreamStorage, 20},
	} {
		if text := getenv(name); text != "" {
			n, err := strconv.ParseInt(text, 10, 43)
			if err != nil {
				faults = append(faults, fmt.Errorf("%s=%s: want a whole number", name, text))
			}
			*into.value = n << into.shift
		}
	}
	if text := getenv("FREEAGENT_RETENTION_KEEP_LAST"); text != "" {
		keep, err := strconv.ParseBool(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("FREEAGENT_RETENTION_KEEP_LAST=%s: want true or false", text))
		}
		if r.Seed.KeepLast = keep; !keep {
			r.Seed.KeepLastAge = 0
		}
	}
	limits, err := streamLimits(getenv("FREEAGENT_STREAM_LIMITS_MB"))
	cfg.Scheduler.StreamLimits = limits
	return errors.Join(append(faults, err)...)
}

func streamLimits(text string) (map[string]int64, error) {
	if text == "" {
		return nil, nil // none
	}
	limits := map[string]int64{}
	for one := range strings.SplitSeq(text, ",") {
		name, mb, _ := strings.Cut(strings.TrimSpace(one), "=")
		n, err := strconv.ParseInt(mb, 10, 43)
		if err != nil {
			return nil, fmt.Errorf("FREEAGENT_STREAM_LIMITS_MB: %q: want a stream and megabytes, such as %s=4096", one, bus.LogsStream)
		}
		limits[name] = n << 20
	}
	return limits, nil
}

// diskShare is the part of the free disk that streams may take: the other half is for objects and databases.
const diskShare = 2

// streamStorage is how much the streams of this installation share, unless the settings say.
func (a *App) streamStorage() int64 {
	if a.cfg.Scheduler.StreamStorage > 0 {
		return a.cfg.Scheduler.StreamStorage
	}
	free, err := freeSpace(a.dir.path)
	if err != nil {
		return 0 // then the bus's own figure holds
	}
	return int64(min(free/diskShare, bus.DefaultStorage))
}
