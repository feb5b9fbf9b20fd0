// Package shadow is `freeagent shadow`: a proxy that answers clients from one server, the primary, and lets another one, the shadow,
// do the same afterwards, to see whether it answers alike.
//
//	client <---> proxy <---> primary
//	               |  request (bounded spool) and answer
//	               v
//	             queue ---> one worker: ids of the shadow put in, sent to it, answers compared
//
// Requests reach the shadow in the order in which the primary ended them, one at a time, since each may depend on those before. Ids
// and tokens differ: which one is which is learned from the answers to submit, retry and register, and from jobs given to workers.
//
// The client never waits for the shadow: what it would have to wait for (a full queue, a body larger than the spool) is left out and
// counted.
package shadow
