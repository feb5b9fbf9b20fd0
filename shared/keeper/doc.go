// Package keeper tells the artifact service which objects stay: those of a submit or a finish that was acknowledged. The word
// is no part of the acknowledgement. One that is lost, with the process, the bus or a full queue, is made good: before the
// artifact service deletes what nobody kept, it asks the scheduler whether a build names it. So the word may wait a moment and
// go with others, and a busy farm spends one request and one transaction on hundreds of objects instead of one on each.
package keeper
