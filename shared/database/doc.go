// Package database gives a service its own SQL database: SQLite (one file for each service) or
// PostgreSQL (one schema for each), behind the same functions, with migrations, write transactions,
// and an outbox for the events of those transactions.
//
// # Queries
//
// Queries are written once, with $1, $2, … as placeholders. On SQLite they are rewritten to ?1, ?2,
// … because there $1 is a named parameter numbered by its first appearance.
//
// # Order of events
//
// A transaction that changes a build locks its row first (by changing it, or with ForUpdate) and
// emits events afterwards. The next transaction on that build gets the lock only after the first
// has committed, so its events have larger numbers, and readers that see them also see the first
// one's. The relay reads by number, so it publishes the events of one build in the order of their
// commits, although on PostgreSQL numbers of different builds may become visible out of order.
// There is no order between different builds, which spares PostgreSQL a lock around every commit,
// and none for a transaction that emits before it locks.
//
// # When something is unavailable
//
// Without the bus, messages stay in the outbox and the relay tries again. Without the database,
// transactions fail and the relay starts again once it is back. A message that is published twice
// has the same ID each time.
package database
