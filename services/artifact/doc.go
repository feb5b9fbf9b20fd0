// Package artifact is the service that owns the bytes: sources, certs, results and the logs of builds that have ended. It alone writes objects (place, size,
// SHA-256, expiry, encryption key) and alone holds the object store's credentials.
//
// Others ask it on the bus for a Grant (fa.artifact.upload, .download; .grant.<worker> for the holder of a lease) and move
// the bytes over HTTP with it. A Grant's ticket is signed and stands for itself, so any replica serves any ticket.
//
//	         upload              PUT                keep
//	ask ----------------> staged -------> stored ---------> kept
//	                        |               |                 |
//	                        +--- expired ---+---- discard ----+----> gone
//
// What is not kept expires. The janitor asks the scheduler first: what a build names is kept instead, so a crash between a
// submit or a finish and its keep loses nothing.
//
// An upload that breaks, stalls, is too large, is no archive or is not what was declared leaves neither object nor row. A
// process killed in an upload leaves a row, which expires and takes every key with its prefix along, and an incomplete S3
// upload, which the janitor aborts.
//
// When a build has ended (BUILD_EVENTS) and its last lines have had their time, its log is copied from BUILD_LOGS into one object
// (package logarchive), and deleted from the stream when that is known and nobody can be reading it there any more:
//
//	build ends ----> archived ----> deleted from the stream ----> removed by age
//
// Each step may be broken off and repeated: what the stream has beyond the archive is added to it. Lines that come late, and
// builds whose end was not heard, are found by looking through the stream now and then.
//
// A download is verified as it is sent: its last bytes leave only after the SHA-256 was found right, else the connection is
// cut, so damaged content is never received whole.
//
// When a dependency fails: without the bus, transfers go on and nothing new is granted; without the scheduler, workers get
// no grants and the janitor deletes nothing; without SQL or S3, requests answer "unavailable" and nothing is lost.
package artifact
