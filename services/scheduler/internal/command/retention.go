package command

import (
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler"
)

// Retention are the settings of how ended builds expire. The policies themselves are set at run time.
type Retention struct {
	Age         time.Duration `env:"FREEAGENT_RETENTION_AGE" help:"retention policy of a new farm: age since a build's end; 0 is no limit"`
	Builds      int64         `env:"FREEAGENT_RETENTION_BUILDS" help:"retention policy of a new farm: ended builds of each project; 0 is no limit"`
	ProjectMB   int64         `env:"FREEAGENT_RETENTION_PROJECT_MB" help:"retention policy of a new farm: size of sources and results of each project; 0 is no limit"`
	FarmMB      int64         `env:"FREEAGENT_RETENTION_FARM_MB" help:"retention policy of a new farm: size of sources and results of all projects together; 0 is no limit"`
	KeepLast    bool          `env:"FREEAGENT_RETENTION_KEEP_LAST" help:"retention policy of a new farm: keep the last successful build of each branch"`
	KeepLastAge time.Duration `env:"FREEAGENT_RETENTION_KEEP_LAST_AGE" help:"retention policy of a new farm: how long the last successful build of a branch is kept; 0 is for ever"`
	WorkerAge   time.Duration `env:"FREEAGENT_RETENTION_WORKER_AGE" help:"retention policy of a new farm: absence after which a worker is forgotten; 0 is never"`
	Notice      time.Duration `env:"FREEAGENT_RETENTION_NOTICE" help:"delay between a change of a retention policy and the first build that expires by it"`
	MinAge      time.Duration `env:"FREEAGENT_RETENTION_MIN_AGE" help:"time after its end during which no build expires"`
	Trace       time.Duration `env:"FREEAGENT_RETENTION_TRACE" help:"time that a trace of an expired build is kept, which says when and why it expired"`
	Every       time.Duration `env:"FREEAGENT_RETENTION_EVERY" help:"interval between retention sweeps"`
}

func retentionOf(c scheduler.RetentionConfig) Retention {
	return Retention{
		Age: c.Seed.MaxAge, Builds: c.Seed.MaxBuilds, ProjectMB: c.Seed.MaxBytes >> 20, FarmMB: c.Seed.FarmBytes >> 20,
		KeepLast: c.Seed.KeepLast, KeepLastAge: c.Seed.KeepLastAge, WorkerAge: c.Seed.WorkerAge, Notice: c.Notice, MinAge: c.MinAge,
		Trace: c.Trace, Every: c.Every,
	}
}

func (r Retention) config() scheduler.RetentionConfig {
	if !r.KeepLast {
		r.KeepLastAge = 0
	}
	return scheduler.RetentionConfig{
		Seed: scheduler.RetentionPolicy{
			MaxAge: r.Age, MaxBuilds: r.Builds, MaxBytes: r.ProjectMB << 20, FarmBytes: r.FarmMB << 20, KeepLast: r.KeepLast,
			KeepLastAge: r.KeepLastAge, WorkerAge: r.WorkerAge,
		},
		Notice: r.Notice, MinAge: r.MinAge, Trace: r.Trace, Every: r.Every,
	}
}

// Streams are the settings of how the bus's storage is divided.
type Streams struct {
	StorageMB int64            `env:"FREEAGENT_STREAM_STORAGE_MB" help:"storage that is divided among the streams (0: what the account may use, at most 16384)"`
	LimitsMB  map[string]int64 `env:"FREEAGENT_STREAM_LIMITS_MB" envKeyValSeparator:"=" help:"limits of single streams instead of their share, such as BUILD_LOGS=4096,BUILD_TELEMETRY=256"`
}

func (s Streams) config() (storage int64, limits map[string]int64) {
	limits = make(map[string]int64, len(s.LimitsMB))
	for name, mb := range s.LimitsMB {
		limits[name] = mb << 20
	}
	return s.StorageMB << 20, limits
}
