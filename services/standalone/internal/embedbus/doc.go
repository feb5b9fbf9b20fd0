// Package embedbus runs a nats-server with JetStream inside the process: the bus of a standalone installation. Services
// connect in the process; workers connect over TCP, on loopback unless told otherwise, and never without authentication:
// whoever is not the process's own services is judged by the auth callout (package identity).
//
// The server acknowledges a publish once the operating system has it, so a kill of the process loses nothing but telemetry.
// Against a power cut, the relays call Sync before they empty their outboxes: it syncs events and logs. Everything else is synced
// every few seconds.
package embedbus
