// Package watch finds attempts whose worker is gone and workers that left.
//
//	           assigned / stage            key expired, or no heartbeat
//	(no lease) --------------> watched ------------------------------> suspected
//	     ^                      ^                                         |  grace
//	     |  ended elsewhere     |              key is there again         v
//	     `----------------------+----------------------------------- read the key
//	     `------------------------------------ stalled <-----------------' still absent
//
// An expiry marker of the heartbeats bucket makes a lease due after the grace period. Each lease
// also has a time at which it is due anyway: for lost markers and for workers that died before
// their first heartbeat.
//
// # What delays a verdict
//
// Telemetry of the holder counts as a heartbeat. A project whose builds are often silent for longer
// than the heartbeat timeout of a stage gets more time (silence.go).
//
// When the bus was away longer than a TTL, every key has expired although every worker lives; and
// while the bucket, which lives in memory, does not exist, no worker can write its key. So after
// its own start, after each reconnection, and when the bucket is missing, a new one or under
// another leader, the watcher holds every verdict for one full TTL of the lease (bushealth.go). It
// does the same after a pause of this process (SIGSTOP, sleep, migration) and after the clock was
// set.
//
// A verdict holds only if the row is still as it was when it became due: a stage or an expiry that
// came meanwhile is newer.
package watch
