package standalone

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// variables lays what the environment says over the services' settings, under the names that the separate services have.
func variables(cfg *Config, getenv func(string) string) error {
	var faults []error
	for name, into := range map[string]*time.Duration{
		"FREEAGENT_BUILD_TIMEOUT": &cfg.Scheduler.BuildTimeout, "FREEAGENT_MAX_BUILD_TIMEOUT": &cfg.Scheduler.MaxBuildTimeout,
		"FREEAGENT_MAX_STAGE_TTL": &cfg.Scheduler.MaxStageTTL, "FREEAGENT_WAIT_ALERT": &cfg.Scheduler.WaitAlert,
		"FREEAGENT_PRIORITY_AGE": &cfg.Scheduler.AgeEvery,
		"FREEAGENT_KEEP_SAMPLES": &cfg.Monitor.KeepSamples, "FREEAGENT_KEEP_SAMPLE_MINUTES": &cfg.Monitor.KeepMinutes,
		"FREEAGENT_KEEP_REPORTS":    &cfg.Monitor.KeepReports,
		"FREEAGENT_WEBHOOK_TIMEOUT": &cfg.Ingest.WebhookTimeout, "FREEAGENT_WEBHOOK_DISABLE_AFTER": &cfg.Ingest.WebhookDisableAfter,
	} {
		text := getenv(name)
		if text == "" {
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s=%s: want a duration such as 90s or 15m", name, text))
			continue
		}
		*into = d
	}
	if text := getenv("FREEAGENT_MAX_PRIORITY"); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			faults = append(faults, fmt.Errorf("FREEAGENT_MAX_PRIORITY=%s: want a whole number, -100 to 100", text))
		}
		cfg.Scheduler.MaxPriority = int32(n)
	}
	if url := getenv("FREEAGENT_PUBLIC_URL"); url != "" {
		cfg.Ingest.PublicURL = url
	}
	if text := getenv("FREEAGENT_WEBHOOK_NETWORKS"); text != "" {
		cfg.Ingest.WebhookNetworks = nil
		for network := range strings.SplitSeq(text, ",") {
			p, err := netip.ParsePrefix(strings.TrimSpace(network))
			if err != nil {
				faults = append(faults, fmt.Errorf("FREEAGENT_WEBHOOK_NETWORKS: %q is no network such as 10.0.0.0/8", network))
				continue
			}
			cfg.Ingest.WebhookNetworks = append(cfg.Ingest.WebhookNetworks, p)
		}
	}
	return errors.Join(append(faults, retentionVariables(cfg, getenv))...)
}
