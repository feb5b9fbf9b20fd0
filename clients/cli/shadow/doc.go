// Package shadow implements `freeagent shadow`: a proxy that answers clients from one server, the
// primary, then sends the same requests to another one, the shadow, and compares the answers.
//
//	client <---> proxy <---> primary
//	               |  request (bounded spool) and answer
//	               v
//	             queue ---> one goroutine: translate ids, send to the shadow, compare answers
//
// The shadow gets requests one at a time, in the order in which the primary answered them, since
// each may depend on earlier ones. Ids and tokens differ between the servers. The proxy learns the
// pairs from the answers to submit, retry, register and poll.
//
// Clients never wait for the shadow. Requests that do not fit (full queue, body larger than the
// spool) are skipped and counted.
package shadow
