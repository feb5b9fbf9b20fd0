// Package store keeps the monitor's tables: the leases and workers under watch and when each is
// checked next, how long builds are silent, samples of telemetry and their sums by the minute,
// diagnostic reports, and statistics by day.
package store
