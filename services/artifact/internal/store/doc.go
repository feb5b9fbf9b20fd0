// Package store keeps the artifact service's own table: one row an object, the truth about which bytes exist, where, and
// until when. Bytes without a row are rubbish; a row is written before its first byte.
//
//	 Stage            Commit            Keep
//	-------> staged ---------> stored ---------> kept
//	           |                 |                 |
//	           +---- Condemn ----+---- Condemn ----+--> condemned --Remove--> gone
//
// Every arrow is one conditional statement, so replicas arbitrate by the database alone.
package store
