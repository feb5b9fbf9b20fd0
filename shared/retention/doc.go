// Package retention marks objects as retained: those of a submit or a finish that was acknowledged.
//
// The acknowledgement does not wait for the mark. A mark may get lost with the process, with the bus or
// at a full queue, because the artifact service asks the scheduler before it deletes an unmarked object.
// So marks wait a moment and travel together: a busy farm spends one request and one transaction on
// hundreds of objects.
package retention
