// Package streamhealth finds out whether the bus can store, and names the streams that cannot and
// the nodes that need a restart.
//
// # Why
//
// A node of nats-server whose disk is full turns JetStream off until it is restarted, and keeps
// other write errors as long. The rest of the cluster continues as long as a majority of each
// stream's nodes stores. Clients see only publishes that are not acknowledged, and the cause is in
// the log of one node.
//
// # How
//
// A Watcher asks for the state of each stream every few seconds ($JS.API.STREAM.INFO):
//
//	no answer, or no leader          nothing can be stored in the stream
//	a replica is offline or silent   its node does not store; the stream lives on the others
//
// It also hears how the caller's publishes went, since a stream that cannot write may have a
// leader. What lasts for several rounds is a problem: elections and restarts are shorter. While
// there is one, each configured address of the bus is asked whether JetStream is on there: a server
// says so in its first line, before any login.
package streamhealth
