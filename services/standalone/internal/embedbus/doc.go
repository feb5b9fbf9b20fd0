// Package embedbus runs a nats-server with JetStream inside the process: the bus of a standalone
// installation.
//
// # Connections
//
// Services connect within the process. Workers connect over TCP, on loopback by default, and never
// without authentication: the auth callout (package identity) decides about every connection except
// those of the process itself.
//
// # Durability
//
// The server acknowledges a publish once the operating system has it, so a kill of the process
// loses only telemetry. Against a power cut, the relays call Sync before they empty their outboxes:
// it syncs events and logs. Everything else is synced every few seconds.
package embedbus
