// Package stream reads the log of a build as it lies in BUILD_LOGS, and makes one numbered log of
// it: the lines of all attempts and of the control plane in the order of the stream.
//
// Workers number their lines without a gap. Numbering uses that: what was stored twice appears
// once, and where lines are missing a line says how many. The archiver and the readers of live logs
// use the same numbers, so a position in the log never changes.
package stream
