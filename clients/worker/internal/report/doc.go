// Package report tells the scheduler what becomes of an attempt: which stage it is in, and how it
// ended.
//
// # When the scheduler is unavailable
//
// A stage is reported until it is answered or the next one begins; the build continues meanwhile.
// The outcome is reported until it is answered, however long that takes.
//
// # When a report is refused
//
// A refused stage ends the attempt. A refused outcome is reported as an infrastructure failure
// instead, so that another attempt can do better. If that is refused too, the attempt ends here:
// its heartbeats stop, and the farm takes it for lost.
package report
