// Package retention marks objects as retained: those of a submit or a finish that was acknowledged. The mark
// is not part of the acknowledgement. One that is lost with the process, the bus or a full queue is made good: before the
// artifact service deletes an unmarked object, it asks the scheduler whether a build names it. So a mark may wait a moment and
// go with others, and a busy farm spends one request and one transaction on hundreds of objects instead of one on each.
package retention
