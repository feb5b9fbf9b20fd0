// Package stream reads the log of a build as it lies in BUILD_LOGS, and makes one numbered log of it: the lines of all
// attempts and of the control plane in the order of the stream.
//
// Workers number their lines without a gap. Numbering uses that: what was stored twice appears once, and where lines are
// missing a line says how many. Whoever archives a log and whoever shows one before it is archived number alike, so a place in
// the log stays the same place.
package stream
