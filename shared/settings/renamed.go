package settings

import "strings"

// Rename is a setting that has another name today. The old one is accepted, with a warning.
type Rename struct {
	// Old is the variable, whose flag is renamed too, or a flag alone, with its dashes.
	Old string
	// New is the variable.
	New string
	// Value is what the old flag, a switch, stands for; empty: its own value.
	Value string
}

// oldFlag is the flag's old name.
func (r Rename) oldFlag() string {
	if flag, ok := strings.CutPrefix(r.Old, "--"); ok {
		return flag
	}
	return flagName(r.Old)
}

// Renamed lists the settings that were renamed.
func Renamed() []Rename {
	all := make([]Rename, 0, 40)
	for line := range strings.Lines(renamed) {
		if fields := strings.Fields(line); len(fields) >= 2 {
			r := Rename{Old: fields[0], New: prefix + fields[1]}
			if !strings.HasPrefix(r.Old, "--") {
				r.Old = prefix + r.Old
			}
			if len(fields) > 2 {
				r.Value = fields[2]
			}
			all = append(all, r)
		}
	}
	return all
}

// renamed has lines of an old name, the new one, and what an old switch stands for.
const renamed = `
CANCEL_GRACE          CANCEL_GRACE_PERIOD
DATABASE_CONNS        DATABASE_MAX_CONNS
GRACE                 HEARTBEAT_GRACE_PERIOD
JANITOR_INTERVAL      OBJECT_SWEEP_INTERVAL
KEEP_REPORTS          REPORT_RETENTION
KEEP_SAMPLE_MINUTES   TELEMETRY_ROLLUP_RETENTION
KEEP_SAMPLES          TELEMETRY_RETENTION
LOG_PARALLEL          LOG_ARCHIVE_CONCURRENCY
LOG_SETTLE            LOG_ARCHIVE_DELAY
MAX_CERTS_AT_ONCE     MAX_CONCURRENT_CERTS
MAX_SAMPLES           TELEMETRY_QUEUE_SIZE
MAX_STAGE_TTL         MAX_HEARTBEAT_TIMEOUT
MAX_WAITING           MAX_WAITING_BUILDS
PRIORITY_AGE          PRIORITY_AGING_INTERVAL
REPEAT_WINDOW         SUBMIT_RETRY_WINDOW
RETENTION_EVERY       RETENTION_INTERVAL
STAGE_TTLS            HEARTBEAT_TIMEOUTS
WEBHOOK_ATTEMPTS      WEBHOOK_MAX_ATTEMPTS
WEBHOOK_MAX_PAUSE     WEBHOOK_MAX_BACKOFF
WEBHOOK_PAUSE         WEBHOOK_BACKOFF
WORKER_SILENCE        WORKER_TIMEOUT
WORKER_TTL            WORKER_CREDENTIALS_TTL
--bus                 BUS_URL
--log-json            LOG_FORMAT           json
--stage-ttl           HEARTBEAT_TIMEOUTS
--telemetry-every     TELEMETRY_INTERVAL
--tls-cert            TLS_CERT_FILE
--tls-key             TLS_KEY_FILE
`
