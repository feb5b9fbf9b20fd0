// Package command is "freeagent worker": flags and variables become a worker's configuration, signals its draining.
package command
