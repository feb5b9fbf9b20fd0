// Package daemon runs a service as a process: a command line, connections, health, and a stop that
// lets work finish. Package settings reads its settings. A service gives Program a struct of
// settings and its own code.
package daemon
