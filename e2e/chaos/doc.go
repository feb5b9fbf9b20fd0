// Package chaos breaks a cluster while it works, and then checks its promises. Clients submit and
// cancel builds and record every call, a nemesis kills, pauses, restarts and cuts off processes,
// and Check compares the record with the state of the system at the end.
//
// The method is that of Jepsen (https://jepsen.io): a history of what clients were told, faults of
// the real system, and a checker that knows nothing of its internals.
package chaos
