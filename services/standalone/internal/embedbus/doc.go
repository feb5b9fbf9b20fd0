// Package embedbus runs a nats-server with JetStream inside the process: the bus of a standalone installation. Services
// connect in the process; workers connect over TCP, on loopback unless told otherwise, and never without authentication:
// whoever is not the process's own services is judged by the auth callout (package identity).
//
// A publish is acknowledged when the system has it, which a kill of the process does not undo. Against a power cut the events
// are synced by Sync, which the relays call before they empty their outboxes; everything else every few seconds.
package embedbus
