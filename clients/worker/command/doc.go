// Package command is "freeagent worker". It turns flags and variables into a worker's
// configuration, and signals into drain and release.
package command
