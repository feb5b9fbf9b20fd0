// Package order decides the order in which waiting builds run. It does no I/O: the scheduler reads
// builds, workers and rules, asks this package, and applies the answer as a compare-and-set.
//
// # The rule
//
// Each pool and platform is a lane. Within a lane the next build is that of the project with
//
//  1. the highest effective priority: its own, raised by one for each Rules.AgeEvery that it has
//     waited, but never above the highest priority that anybody in the lane asked for. So a low
//     priority cannot starve, and ageing changes nothing among equals;
//  2. the smallest start tag of start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair
//     Queuing", SIGCOMM 1996): each dispatched build advances its project's tag by its expected
//     duration divided by the project's weight, and a project that was idle starts at the lane's
//     virtual time, so that it neither saves up credit nor pays for its past. What a project's
//     running builds take beyond their expected duration counts against it until they end;
//  3. the fewest running or offered builds, divided by the weight;
//  4. the oldest head.
//
// Within a project: the highest effective priority, then the oldest.
//
// While two projects wait, the slot time that they were given, divided by their weights, differs by
// at most one build of each. Counting running builds alone would not do: with more projects than
// slots most of them tie at none.
//
// # Limits
//
// A project or pool at its limit of running builds is passed over.
//
// # Where the memory lives
//
// A build keeps the tags that it was dispatched with (columns vstart and vfinish). A project's tag
// is the largest vfinish of its builds, a lane's virtual time the largest vstart. Nothing is shared
// that several schedulers would have to lock, and a restart forgets nothing. Two schedulers that
// choose at the same moment may use the same tags: then the order is off by the builds of one
// round.
//
// # Forecast
//
// Simulate runs the same rule ahead over expected durations. Positions, expected starts and the
// reason why a build waits come from there, so they cannot contradict what is dispatched.
package order
