// Package logs moves the log of each build that has ended from BUILD_LOGS into one object (package
// buildlog/archive).
//
//	build ends ----> archived ----> deleted from the stream ----> removed by age
//
// Lines are deleted from the stream when the archive is known and nobody can still read them there.
// Each step may be interrupted and repeated: lines that the stream has beyond the archive are added
// to it. A sweep finds lines that came late, and builds whose end was missed.
package logs
