// Package labels finds out what a machine has: its system, and the versions of the tools that builds use.
package labels
