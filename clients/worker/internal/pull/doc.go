// Package pull takes hand-outs from a queue while a slot is free.
//
// # How it waits
//
// A pull waits at the bus, so a hand-out reaches an idle worker at once. The bus lets only so many
// pulls wait at a queue; it turns the others away silently. Those workers pull again after a while,
// or when the scheduler wakes them.
//
// # No hand-out is lost
//
// The pulls are raw: one message each, over one subscription for as long as none is in doubt. So a
// pull that ends cannot lose a hand-out in a half-closed iterator, and the worker needs no
// permission but to pull. When the last slot is taken, or it is unknown whether a pull still waits
// at the bus, the subscription is drained and what arrived meanwhile goes back to the queue.
package pull
