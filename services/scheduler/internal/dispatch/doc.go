// Package dispatch hands builds out to workers.
//
// # A hand-out, end to end
//
//  1. A submit stores a pending build and signals it (transition.Signal). Run begins a round, at
//     most one at a time.
//  2. The round reads free slots, rules and the heads of the waiting builds (look), asks package
//     order which builds go next, and releases them: in one transaction a build becomes queued and
//     its hand-out is written to the outbox. At most the free slots and a quarter of all slots are
//     on offer, so that the order is decided late and a worker that becomes free finds work at
//     once.
//  3. The outbox's relay publishes the hand-out to BUILD_QUEUE, under the subject of the build's
//     lane (pool and platform).
//  4. Each lane has one pull consumer. Idle workers wait there with one pull each; the server gives
//     the hand-out to the one that has waited longest. 128 pulls may wait; workers beyond that are
//     turned away, ask again now and then, and are woken (RunWake) when hand-outs lie unclaimed.
//  5. The worker claims the build (package scheduler, Claim): the first claim that finds the build
//     queued, the attempt current and a slot free gets the lease. The worker then acknowledges the
//     message. A claim that is refused for the build's sake ends the message; one that is refused
//     for the worker's sake returns it to the queue.
//  6. A lost attempt, or one that a worker returned, is pending again and starts at 2, after its
//     back-off.
//
// Nothing depends on the message alone: if it is lost, package handout offers the build again.
//
// # Workers that poll
//
// Workers of API v1 have no connection to the bus. The gateway polls for them, and Poll releases
// and assigns a build in one transaction. Many workers poll at once, so one search serves all of a
// kind (pollCache), and each gets another candidate.
//
// # Forecast
//
// Forecast runs the same rule ahead over expected durations (estimates). Positions, expected starts
// and the reasons why builds wait come from there, so they cannot contradict what is dispatched.
//
// # When something is unavailable
//
// SQL: rounds fail and are tried again each second. The bus: builds are released, and their
// hand-outs wait in the outbox. The monitor: forecasts use the medians of whole builds instead of
// those of stages.
package dispatch
