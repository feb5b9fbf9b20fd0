// Package retention marks objects as retained: those of a submit or a finish that was acknowledged.
// The mark is not part of the acknowledgement, so it may wait a moment and be sent with others: a
// busy farm spends one request and one transaction on hundreds of objects instead of one on each.
//
// If a mark is lost with the process, the bus or a full queue, nothing is lost: before the artifact
// service deletes an unmarked object, it asks the scheduler whether a build names it.
package retention
