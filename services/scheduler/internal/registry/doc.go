// Package registry knows the workers: those that registered, which of them are online, and what
// they hold.
//
// A worker registers once for each start, and syncs when it connects and now and then afterwards. A
// sync compares the leases that the worker knows with those that SQL knows: the worker is told
// which it has lost, and a process that has just started loses those that it does not name. Workers
// of API v1 poll instead (package dispatch); the gateway speaks for them.
package registry
