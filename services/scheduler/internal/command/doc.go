// Package command is the scheduler as a process: it reads the environment, connects, runs and shuts
// down.
package command
