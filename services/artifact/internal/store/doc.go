// Package store keeps the artifact service's tables: objects and logs.
//
// # Objects
//
// A row is the truth about which bytes exist, where, and until when. It is written before its first
// byte, so bytes without a row are garbage.
//
//	 Stage            Commit            Keep
//	-------> staged ---------> stored ---------> kept
//	           |                 |                 |
//	           +---- Condemn ----+---- Condemn ----+--> condemned --Remove--> gone
//
// Every arrow is one conditional statement, so replicas arbitrate by the database alone.
//
// # Logs
//
// A row tells when the log of a build that has ended is due for its next step, and which object
// holds the archive.
package store
