// Package database gives a service its own SQL database: SQLite (one file for each service) or PostgreSQL (one schema for
// each), behind the same calls, with migrations, write transactions, and an outbox for the events of those transactions.
//
// Queries are written once, with $1, $2, … as placeholders. On SQLite they are rewritten to ?1, ?2, … because there $1 is a
// named parameter numbered by its first appearance.
//
// Order of events: a transaction that changes a thing (a build) locks its row first (by changing it, or with ForUpdate) and
// emits afterwards. The next transaction on that thing gets the lock only after the first has committed, so its events have
// larger numbers, and whoever sees them sees the first one's. The relay reads by number, so it publishes one thing's events
// in the order of their commits, although on PostgreSQL numbers of different things may become visible out of order. Between
// different things no order is promised, which spares PostgreSQL a lock around every commit. A transaction that emits before
// it locks has no such promise.
//
// When the bus is away, messages stay in the outbox and the relay tries again; when the database is away, transactions fail
// and the relay starts again once it is back. A message that is published twice has the same ID each time.
package database
