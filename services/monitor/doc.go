// Package monitor finds attempts whose worker is gone and workers that left, and keeps telemetry,
// reports and statistics.
//
// # Overview
//
// It owns the tables of internal/store. It reads the heartbeats bucket (expiry markers through a
// durable pull consumer on its stream, and the keys themselves), BUILD_EVENTS and BUILD_TELEMETRY.
// It answers fa.monitor.* and publishes builds.*.stalled and workers.*.offline. Any number of
// monitors share the work. The rooms are:
//
//	watch      leases and workers, and the verdicts on them
//	telemetry  samples of what builds use
//	stats      statistics by day
//	reports    diagnostic reports and health of workers
//	legacy     import and export of the legacy controller
//	store      SQL
//
// # When a dependency fails
//
// When SQL fails, the monitor tries again and decides nothing meanwhile. When the scheduler is
// unavailable, verdicts wait in BUILD_EVENTS; a verdict on an attempt that is over by then changes
// nothing there. Before the streams exist, the monitor waits for them. When the bus was away, or
// this process was paused, verdicts wait (package watch). A heartbeat that cannot be read, or names
// another worker than its key, does not count.
package monitor
