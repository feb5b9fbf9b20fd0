// Package heartbeat keeps a worker and its leases alive: it writes keys with a TTL to the bucket
// "heartbeats", which the monitor watches.
//
// # Leases
//
// A LeaseRenewer writes an attempt's key with the heartbeat timeout of the present stage, four
// times within that timeout, and at once when the stage changes. A failed heartbeat is repeated
// within a second: one must arrive within the timeout.
//
// # The worker
//
// Presence writes the worker's own key at the pace that the scheduler sets.
//
// # When the bus is unavailable
//
// A heartbeat without an answer shows that the server may be gone. The connection's own pings would
// show it too, but minutes later: for thousands of workers they are most of what an idle bus does,
// so they are rare. Then the sender pings the server itself and reconnects.
package heartbeat
