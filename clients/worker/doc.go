// Package worker is the agent on a build machine. It owns what runs on that machine and the log lines of its builds; who may
// run what is the scheduler's to say, and every call carries (build, attempt) so that a late one changes nothing.
//
//	join (HTTP) -> connect (bus) -> sync -> pull -> claim -> prepare -> stages -> pack -> upload -> finish
//	     ^                |                  ^                                                      |
//	     `-- away > 10 s -'                  `------------------------ next ------------------------'
//
// It asks on fa.scheduler.{sync,claim,stage,finish}.<worker> and fa.artifact.grant.<worker>; pulls hand-outs from BUILD_QUEUE;
// publishes heartbeats (a key with the TTL of the stage, see lease.go) and log chunks; hears orders on fa.control.<worker>.
//
// When something fails:
//   - the gateway: joining is tried again for ever; connected workers do not need it but for source and result bytes
//   - the bus: builds go on, lines wait in memory; after 10 s the worker joins again, in case the address has changed
//   - the scheduler: finish and stages are asked again until they are answered; hand-outs go back to the queue
//   - the lease: what runs is ended, and nothing more is said about it
//   - the disk, a transfer, the executor: the attempt ends as infrastructure's fault and another worker tries
//   - this process: its heartbeats expire and the build runs elsewhere; the next start ends what it left running
//
// Stopping is not cancelling. When Run's context ends the worker takes nothing new and finishes what it has; after
// DrainTimeout, or HandBack, it hands the builds back unharmed.
package worker
