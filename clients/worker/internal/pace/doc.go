// Package pace says how often a worker talks to the bus while it waits for builds. The scheduler
// sets the intervals in its answer to each sync: idle workers back off as the fleet grows.
package pace
