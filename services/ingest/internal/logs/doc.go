// Package logs reads builds' logs for the gateway: the archive of a build that has ended, then what
// BUILD_LOGS has beyond it. A line keeps its number when the log moves from the stream into the
// archive, so a reader may continue by number at any time.
//
// # Reading
//
// A Reader reads what exists. It jumps to lines far ahead by checkpoints, which it remembers in an
// index.
//
// # Following
//
// A Broadcaster sends what comes. All followers of a build share a feed, which is one reader of the
// stream. The feed keeps the newest lines in a ring of bounded size. A follower that falls behind
// it reads the missing lines from the Reader, a piece at a time, and delays nobody.
//
//	stream ---> feed ---> ring ---> follower, follower, ...
//	                                   |
//	archive, stream <---- Reader <-----+ of lines older than the ring
package logs
