// Package pause detects that this process did not run for a while: it was stopped by a signal or a
// debugger, its machine slept, or its virtual machine was frozen or migrated. It also detects that
// the wall clock was set.
//
// # Why
//
// A process that was paused finds every timeout expired when it continues, although nobody else
// failed to do anything: heartbeats arrived in its socket buffers, and keys with a TTL expired
// because nobody served their renewal. Code that judges missing heartbeats must therefore not count
// the time of its own pause. It waits for one full timeout, as after the bus was unavailable.
//
// # How
//
// A Detector reads three clocks a few times a second: the monotonic clock, which stops while the
// machine sleeps; the boot-time clock, which does not; and the wall clock, which anybody may set.
//
//	the monotonic clock advanced too far    the process was stopped or starved
//	boot time advanced without it           the machine slept
//	the wall clock advanced without both    the clock was set; expiries by wall time are wrong
//
// Where the system has no boot-time clock, the wall clock stands in for it.
package pause
