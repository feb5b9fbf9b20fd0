// Package monitor notices what has died: attempts whose holder went silent and workers that left.
//
// Owns: the tables of internal/store: which leases are watched, and when each is looked at next; samples of telemetry, and what they
// become when they are old; diagnostic reports; the figures of days; how long a project's builds are silent by stage. Reads: the
// heartbeats bucket (expiry markers through a durable pull consumer on its stream, and the keys themselves), from BUILD_EVENTS what
// is assigned, goes on and ends, and BUILD_TELEMETRY. Answers fa.monitor.*. Publishes: builds.*.stalled and workers.*.offline.
//
//	           assigned / stage            key expired, or nothing heard
//	(no lease) --------------> watched ------------------------------> suspected
//	     ^                      ^                                         |  grace
//	     |  ended elsewhere     |              key is there again         v
//	     `----------------------+----------------------------------- look at the key
//	     `------------------------------------ stalled <-----------------' still absent
//
// Telemetry of the holder is a sign of life as well, and a project whose builds are often silent for longer than a stage forgives gets
// more time before the verdict (silence.go). Samples come in batches, each stored in one transaction before it is acknowledged;
// figures are counted once for each event, whose id is stored with them (stats.go).
//
// Expiry tells, not scanning: a marker makes a lease due after the grace period. The time of the next look that each lease
// carries besides is the safety net, for markers that nobody heard and for workers that died before their first beat.
//
// When the bus was away longer than a TTL, every key has expired though every worker lives; and while the bucket, which lives
// in memory, is not there again, nobody can beat. So after its own start, after each reconnection, and when the bucket is
// missing, a new one or under another leader, the monitor holds every verdict for one full TTL of the lease (sight.go). The same
// after a pause of this process (SIGSTOP, sleep, migration) and after the clock was set: package pause. A
// verdict falls only on a lease that is still as it was when it became due: a stage or an expiry heard meanwhile is newer.
//
// When SQL fails, it tries again and decides nothing meanwhile. When the scheduler is away, its verdicts wait in BUILD_EVENTS;
// a verdict on an attempt that is over by then changes nothing there. Before the streams exist, it waits for them. A heartbeat
// that cannot be read, or names another worker than its key, is no sign of life. Any number of monitors share the work.
package monitor
