// Package daemon is what the services have in common as processes of their own: a command line, connections, health, and a stop
// that lets work finish. Package settings reads their settings.
//
// A service declares a struct of settings and gives Program what is its own.
package daemon
