// Package worker is the agent on a build machine. It takes builds from the farm and runs them
// there.
//
// # Overview
//
//	join (HTTP) -> connect (bus) -> sync -> pull -> claim -> source -> stages -> result -> outcome
//	     ^                |                  ^                                                |
//	     `-- away > 10 s -'                  `--------------------- next ---------------------'
//
// The worker owns what runs on its machine and the log lines of its builds. Which worker runs which
// build is the scheduler's decision: every request carries build and attempt, so that a late one
// changes nothing.
//
// It sends requests to fa.scheduler.{sync,claim,stage,finish}.<worker> and
// fa.artifact.grant.<worker>, pulls hand-outs from BUILD_QUEUE, publishes heartbeats, log chunks
// and telemetry, and gets orders on fa.control.<worker>.
//
// # Packages
//
// This package joins, connects, syncs, claims and drains. Below internal are farm (requests and
// messages over the bus), pull (the queue), slots, pace (intervals of waiting workers), heartbeat,
// and attempt (one build) with transfer (its bytes), report (its stages and outcome) and telemetry.
// Beside them are pipeline (which commands build a project), runtime and process (how commands
// run), and buildlog.
//
// # When something is unavailable
//
//   - gateway: joining is retried for ever; connected workers need the gateway only for bytes
//   - bus: builds continue, and log lines wait in memory; after 10 s the worker joins again, in
//     case the address has changed
//   - scheduler: stages and outcomes are reported until they are answered; hand-outs go back to the
//     queue
//   - lease: its build is ended, and nothing more is reported about it
//   - disk, transfers, executor: the attempt ends as an infrastructure failure and another worker
//     tries
//   - this process: its heartbeats expire and its builds run elsewhere; the next start ends what
//     still runs
//
// # Stopping
//
// Stopping is not cancelling. When Run's context ends, the worker drains: it claims nothing new and
// finishes what runs. After DrainTimeout, or Release, it releases the leases of unfinished builds,
// which is not counted as a failed attempt.
package worker
