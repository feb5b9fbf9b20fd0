// Package farm is the gateway's view of the other services: their typed clients, the questions that
// many handlers ask, and what is remembered of the answers.
//
// # Leases of API v1
//
// Workers of API v1 have no connection to the bus. A request in the name of a worker that holds a
// build therefore counts as a heartbeat: the farm writes the heartbeats of the worker and of its
// attempt, and reports the stages of the build, as a worker of API v2 does itself.
package farm
