// Package shell runs builds as processes of this host, as the worker's user.
//
// # Isolation
//
// Each attempt has a directory with its project, home and temporary files, removed at its end. Its
// environment is made from nothing: see environment.go for the variables. Package managers share
// caches in the worker's state directory. So builds do not get in each other's way, but a hostile
// build can do what its user can: give the worker a user of its own.
package shell
