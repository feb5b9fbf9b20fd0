// Package logbook reads builds' logs for the gateway: the archive of a build that has ended, then what BUILD_LOGS has beyond
// it. A line keeps its number when the log moves from the one to the other, so a reader may go on by number at any time.
//
// Book reads what is there. Hub sends what comes: however many follow one build, one reader of the stream serves them. It keeps
// the newest lines in a ring of bounded size; a follower that falls behind it catches up by itself from the Book, a piece at a
// time, and holds nobody up.
//
//	stream ---> room ---> ring ---> follower, follower, ...
//	                                   |
//	archive, stream <----- Book <------+ of lines older than the ring
package logbook
