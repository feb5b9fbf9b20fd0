// Package command is the monitor as a process: it reads the environment, connects, runs and shuts
// down.
package command
