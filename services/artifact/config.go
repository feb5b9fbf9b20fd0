package artifact

import (
	"errors"
	"fmt"
	"log/slog"
	"path"
	"time"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/cache"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/catalog"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/logs"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/seal"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/ticket"
	"github.com/expo-free-agent/freeagent/shared/archive"
	logstream "github.com/expo-free-agent/freeagent/shared/buildlog/stream"
)

// Secret is a key that is hidden in logs and messages.
type Secret []byte

// Format hides the key from every verb of package fmt.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[secret]")) }

// LogValue hides the key from slog.
func (Secret) LogValue() slog.Value { return slog.StringValue("[secret]") }

// MarshalText hides the key from JSON and the like.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// Config of the service. Replicas need the same keys. Start from DefaultConfig; only the two keys have no default.
type Config struct {
	// TicketKey signs transfer tickets: at least 32 bytes.
	TicketKey Secret
	// MasterKey wraps the data keys of encrypted objects: exactly 32 bytes. Without it stored certs are lost for good.
	MasterKey Secret

	// TicketTTL is how long a transfer may wait before it begins; default 15 min.
	TicketTTL time.Duration `env:"FREEAGENT_TICKET_TTL" help:"time within which a granted transfer must begin"`
	// StagedTTL is how long an object that nobody keeps may stay, counted from the last byte; default 1 h.
	StagedTTL time.Duration
	// StallTimeout ends a transfer that moves no byte for so long; default 1 min.
	StallTimeout time.Duration
	// StaleUploadAge is the age at which the S3 uploads of a crashed process are removed; no upload may last longer. Default 6 h: 1 GiB
	// at 400 kbit/s.
	StaleUploadAge time.Duration
	// JanitorInterval is how often expired objects are looked for; default 1 min.
	JanitorInterval time.Duration `env:"FREEAGENT_OBJECT_SWEEP_INTERVAL" help:"interval between sweeps of expired objects"`
	// DrainTimeout is how long Run waits for transfers after its context has ended; then they are cut. Default 30 s.
	DrainTimeout time.Duration

	// WatchStore is how often the object store is probed; 0: never, for one in this process. Default 5 s.
	WatchStore time.Duration

	// AcceptEmpty starts although the object store has none of the objects that the database names.
	AcceptEmpty bool `env:"FREEAGENT_ACCEPT_EMPTY" help:"whether to start although stored data is missing (the whole bucket, or a part of the data directory); it is lost then"`

	// MaxSourceBytes, MaxCertsBytes and MaxResultBytes are the largest uploads accepted; defaults 500 MiB, 10 MiB, 1 GiB.
	// Certs are held in memory.
	MaxSourceBytes int64 `env:"FREEAGENT_MAX_SOURCE_MB" unit:"MB" help:"size limit of a source in MB"`
	MaxCertsBytes  int64 `env:"FREEAGENT_MAX_CERTS_MB" unit:"MB" help:"size limit of signing certificates in MB, at most 64"`
	MaxResultBytes int64 `env:"FREEAGENT_MAX_RESULT_MB" unit:"MB" help:"size limit of a result in MB"`
	// MaxArtifactsBytes is the largest archive of the files that a build keeps besides its result; default 2 GiB.
	MaxArtifactsBytes int64 `env:"FREEAGENT_MAX_ARTIFACTS_MB" unit:"MB" help:"size limit of a build's artifacts (buildArtifactPaths), packed, in MB"`
	// CacheBytes bounds the shared cache of builds; default 0: there is none. MaxCacheEntryBytes bounds one entry; default 2 GiB.
	CacheBytes         int64 `env:"FREEAGENT_SHARED_CACHE_MB" unit:"MB" help:"size limit of the caches of builds that workers share through the object store in MB; none are shared if 0"`
	MaxCacheEntryBytes int64 `env:"FREEAGENT_SHARED_CACHE_ENTRY_MB" unit:"MB" help:"size limit of one entry of the shared cache in MB"`
	// CacheTrusted are patterns of branches whose entries all builds of their project read; default main and master.
	CacheTrusted []string `env:"FREEAGENT_SHARED_CACHE_TRUSTED_BRANCHES" help:"patterns of branches, by comma, whose entries of the shared cache all builds of their project read; builds of other branches do not write to them"`
	// MaxUploads bounds the uploads at once, 8 MiB of memory each; more wait up to StallTimeout. Default 64.
	MaxUploads int
	// ReserveBytes of the store's disk stay free, where Deps.FreeSpace is known; default 512 MiB, 0: none.
	ReserveBytes int64
	// MaxLogBytes is the largest archive of a log, compressed; default 1 GiB.
	MaxLogBytes int64

	// LogSettle is how long the last lines of a build may take after its end, before its log is archived; default 30 s.
	LogSettle time.Duration `env:"FREEAGENT_LOG_ARCHIVE_DELAY" help:"delay between a build's end and the archiving of its log"`
	// LogGrace is how long lines stay in the stream after they were archived; readers rely on the default, logstream.Grace.
	LogGrace time.Duration
	// LogRetention is how long after a build's end its log is kept; 0: for ever. Default 365 days.
	LogRetention time.Duration `env:"FREEAGENT_LOG_RETENTION" help:"retention of logs after a build's end; no limit if 0"`
	// LogSweep is how often lines are looked for that no event led to; default 10 min.
	LogSweep time.Duration
	// LogLease is how long after a crash a log that was being archived is tried again; default 1 min.
	LogLease time.Duration
	// LogParallel is how many logs are archived at once, 8 MiB of memory each; default 2.
	LogParallel int `env:"FREEAGENT_LOG_ARCHIVE_CONCURRENCY" help:"number of logs archived at once, 8 MB of memory each"`
	// ExpiredMark is how long after a build expired a late copy of its log is still refused; default 24 h. Copies take minutes.
	ExpiredMark time.Duration
	// Unpack bounds what a source may unpack to; default archive.SourceLimits. Zero fields are the defaults of package archive.
	Unpack archive.Limits
}

// DefaultConfig returns the defaults of everything but the keys.
func DefaultConfig() Config {
	return Config{
		TicketTTL: 15 * time.Minute, StagedTTL: time.Hour, StallTimeout: time.Minute, StaleUploadAge: 6 * time.Hour,
		JanitorInterval: time.Minute, DrainTimeout: 30 * time.Second, WatchStore: 5 * time.Second,
		MaxSourceBytes: 500 << 20, MaxCertsBytes: 10 << 20, MaxResultBytes: 1 << 30, MaxArtifactsBytes: 2 << 30,
		MaxCacheEntryBytes: 2 << 30, CacheTrusted: []string{"main", "master"},
		MaxUploads: 64, ReserveBytes: 512 << 20, MaxLogBytes: 1 << 30,
		LogSettle: 30 * time.Second, LogGrace: logstream.Grace, LogRetention: 365 * 24 * time.Hour, LogSweep: 10 * time.Minute, LogLease: time.Minute,
		LogParallel: 2, ExpiredMark: 24 * time.Hour, Unpack: archive.SourceLimits(),
	}
}

// Validate returns all faults at once.
func (c Config) Validate() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	fault(len(c.TicketKey) < ticket.MinKeyLength, "ticket key must have at least %d bytes (got %d)", ticket.MinKeyLength, len(c.TicketKey))
	fault(len(c.MasterKey) != seal.KeyLength, "master key must have %d bytes (got %d)", seal.KeyLength, len(c.MasterKey))
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"ticket TTL", c.TicketTTL}, {"TTL of staged objects", c.StagedTTL}, {"stall timeout", c.StallTimeout},
		{"age of stale uploads", c.StaleUploadAge}, {"object sweep interval", c.JanitorInterval}, {"drain timeout", c.DrainTimeout},
		{"log archive delay", c.LogSettle}, {"log grace period", c.LogGrace}, {"log sweep interval", c.LogSweep}, {"log lease", c.LogLease},
		{"TTL of expired marks", c.ExpiredMark},
	} {
		fault(d.value <= 0, "%s must be positive (got %s)", d.name, d.value)
	}
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"max source bytes", c.MaxSourceBytes}, {"max certificate bytes", c.MaxCertsBytes}, {"max result bytes", c.MaxResultBytes},
		{"max artifacts bytes", c.MaxArtifactsBytes}, {"max cache entry bytes", c.MaxCacheEntryBytes},
		{"max uploads", int64(c.MaxUploads)}, {"max log bytes", c.MaxLogBytes}, {"log archive concurrency", int64(c.LogParallel)},
	} {
		fault(n.value <= 0, "%s must be positive (got %d)", n.name, n.value)
	}
	fault(c.MaxCertsBytes > catalog.MaxCertsBytes, "max certificate bytes must be at most %d, which fit in memory (got %d)", catalog.MaxCertsBytes, c.MaxCertsBytes)
	fault(c.CacheBytes < 0, "bytes of the shared cache must not be negative (got %d)", c.CacheBytes)
	for _, pattern := range c.CacheTrusted {
		_, err := path.Match(pattern, "")
		fault(err != nil, "trusted branch of the shared cache is no pattern: %q", pattern)
	}
	fault(c.ReserveBytes < 0, "reserved bytes must not be negative (got %d)", c.ReserveBytes)
	fault(c.WatchStore < 0, "interval of store checks must not be negative (got %s)", c.WatchStore)
	fault(c.LogRetention < 0, "log retention must not be negative (got %s)", c.LogRetention)
	// The row of an upload under way is extended after a quarter of StagedTTL, and the upload may begin as late as TicketTTL.
	fault(c.StagedTTL < 2*c.TicketTTL, "TTL of staged objects must be at least twice the ticket TTL, %s, so that none expires under its upload (got %s)",
		c.TicketTTL, c.StagedTTL)
	fault(c.StallTimeout >= c.StaleUploadAge, "stall timeout must be shorter than the age of stale uploads, %s (got %s)", c.StaleUploadAge, c.StallTimeout)
	return errors.Join(errs...)
}

// logRetry is the pause after a log was not archived.
const logRetry = 5 * time.Second

func (c Config) catalog() catalog.Config {
	return catalog.Config{
		StagedTTL: c.StagedTTL, ReserveBytes: c.ReserveBytes, Unpack: c.Unpack,
		Limits: catalog.Limits{Source: c.MaxSourceBytes, Certs: c.MaxCertsBytes, Result: c.MaxResultBytes, Log: c.MaxLogBytes, Artifacts: c.MaxArtifactsBytes},
	}
}

func (c Config) logs() logs.Config {
	return logs.Config{
		Settle: c.LogSettle, Grace: c.LogGrace, Retention: c.LogRetention, Sweep: c.LogSweep, Lease: c.LogLease,
		Retry: logRetry, Turn: min(time.Second, c.JanitorInterval), Parallel: c.LogParallel,
	}
}

func (c Config) cache() cache.Config {
	return cache.Config{MaxBytes: c.CacheBytes, MaxEntry: c.MaxCacheEntryBytes, Trusted: c.CacheTrusted}
}
