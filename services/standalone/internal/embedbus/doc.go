// Package embedbus runs a nats-server with JetStream inside the process: the bus of a standalone installation. Services
// connect in the process; workers connect over TCP, on loopback unless told otherwise, and never without authentication:
// whoever is not the process's own services is judged by the auth callout (package identity).
//
// Every stream is synced to disk before a publish is acknowledged, except those whose own declaration says otherwise.
package embedbus
