// Package scheduler decides what runs next. It is the only writer of builds, attempts and workers.
//
// Owns: the tables of internal/store. Answers: fa.scheduler.* (serve.go). Hears: builds.*.stalled and workers.*.online and
// offline from the monitor (consume.go). Publishes, through an outbox in the transaction that changed the state: every
// event of a build but stalled, the hand-outs on BUILD_QUEUE, and the control plane's own lines of a build's log.
//
//	pending --release--> queued --claim--> assigned --stage--> building --finish--> completed | failed
//	   ^                                      |                   |
//	   `---- lose (lease lost) / hand back ---'-------------------'      cancel: from any live state
//
// Any number of schedulers run side by side: each change is a compare-and-set in SQL on the state and attempt it read, so
// no leader is needed for correctness.
//
// When SQL fails, requests are refused as unavailable and nothing changes. When the bus fails, states go on to be written
// and their events wait in the outbox. When BUILD_QUEUE is lost, reconcile puts back what SQL says is queued. When the
// artifact service fails, a finish is refused as unavailable and the worker repeats it.
package scheduler
