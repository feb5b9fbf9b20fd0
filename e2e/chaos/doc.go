// Package chaos breaks a cluster while it works, and then checks what it promised: builds are submitted and cancelled by clients
// whose every call is recorded, a nemesis kills, pauses, restarts and cuts off processes, and Check compares the record with
// what the system says at the end.
//
// The method is that of Jepsen (https://jepsen.io): a history of what clients were told, faults of the real thing, and a checker
// that knows nothing of how the system works inside.
package chaos
