// Package lifecycle runs the loops of a service: each has an owner that waits for it, the first
// failure stops all and is named, and they stop in the reverse order of their start, so that what
// others rely on goes last.
package lifecycle
