// Package command is the gateway as a process: it reads the environment, connects, runs and shuts
// down.
package command
