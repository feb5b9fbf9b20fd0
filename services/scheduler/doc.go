// Package scheduler decides what runs next. It is the only writer of builds, attempts and workers.
//
// # Overview
//
// It owns the tables of internal/store, and answers the requests of SchedulerService and
// SchedulerWorkerService (proto-events). From the monitor it consumes the events of attempts that
// stalled and workers that went offline. Through an outbox, in the transaction that changed the
// state, it publishes every other event of a build, the hand-outs on BUILD_QUEUE, and the control
// plane's own lines of a build's log.
//
// Any number of schedulers run side by side. Each change is a compare-and-set in SQL on the state
// and attempt that were read, so no leader is needed for correctness.
//
// # Rooms
//
//	store       the tables                            view        rows as other services see them
//	transition  states, hand-outs, events             order       what runs next, without I/O
//	admission   the bound of the queue                rules       weights, limits and timeouts of projects
//	handout     BUILD_QUEUE equal to SQL              registry    workers
//	faults      attempts that fail again and again    dispatch    release, poll, forecast: a hand-out end to end
//	retention   what expires                          legacy      import and export of the legacy controller
//
// This package has what is left: submit, claim, stage, finish, cancel, lost leases, overdue builds,
// wait alerts and queries.
//
// # States
//
//	pending --release--> queued --claim--> assigned --stage--> building --finish--> completed | failed
//	   ^                                      |                   |
//	   `---- lose (lease lost) / return ------'-------------------'      cancel: from any live state
//
// # When something is unavailable
//
// SQL: requests are refused as unavailable and nothing changes. The bus: states are written and
// their events wait in the outbox; when BUILD_QUEUE is lost, handout restores it. The artifact
// service: a finish is refused as unavailable and the worker repeats it.
package scheduler
