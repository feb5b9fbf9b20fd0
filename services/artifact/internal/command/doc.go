// Package command is the artifact service as a process: it reads the environment, connects, runs
// and shuts down.
package command
