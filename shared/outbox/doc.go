// Package outbox joins a service's database to the bus: facts written in the transaction that
// changed the state, published after its commit, in order, at least once, and de-duplicated by the
// bus.
package outbox
