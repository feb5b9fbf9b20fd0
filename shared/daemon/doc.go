// Package daemon is what the services have in common as processes of their own: settings from the environment and from
// files, help that is made of the settings and so cannot lie, connections, health, and a stop that lets work finish.
//
// A service declares a struct of settings and gives Program what is its own. Secrets come from the environment or from files
// and never from the command line, which every user of the machine can read.
package daemon
