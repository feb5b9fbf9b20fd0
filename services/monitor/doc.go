// Package monitor notices what has died: attempts whose holder went silent and workers that left.
//
// Owns: the tables of internal/store (which leases are watched, and when each is looked at next). Reads: the heartbeats
// bucket (expiry markers through a durable pull consumer on its stream, and the keys themselves), and from BUILD_EVENTS what
// is assigned, goes on and ends. Publishes: builds.*.stalled and workers.*.offline.
//
//	           assigned / stage            key expired, or nothing heard
//	(no lease) --------------> watched ------------------------------> suspected
//	     ^                      ^                                         |  grace
//	     |  ended elsewhere     |              key is there again         v
//	     `----------------------+----------------------------------- look at the key
//	     `------------------------------------ stalled <-----------------' still absent
//
// Expiry tells, not scanning: a marker makes a lease due after the grace period. The time of the next look that each lease
// carries besides is the safety net, for markers that nobody heard and for workers that died before their first beat.
//
// When the bus was away longer than a TTL, every key has expired though every worker lives. So after its own start and after
// each reconnection the monitor holds every verdict for one full TTL of the lease. When SQL fails, it tries again and decides
// nothing meanwhile. When the scheduler is away, its verdicts wait in BUILD_EVENTS. Any number of monitors share the work.
package monitor
