// Package database gives a service its own SQL database: SQLite (one file for each service) or PostgreSQL (one schema for
// each), behind the same calls, with migrations, write transactions, and an outbox for the events of those transactions.
//
// Queries are written once, with $1, $2, … as placeholders. On SQLite they are rewritten to ?1, ?2, … because there $1 is a
// named parameter numbered by its first appearance.
//
// Order of events: a transaction that changes a thing (a build) locks its row first and emits afterwards, so the numbers
// that the outbox gives to one thing's events follow the order of their commits, and whoever sees the later one sees the
// earlier. Between different things no order is promised, which spares PostgreSQL a lock around every commit.
package database
