// Package cli implements the freeagent command. Each subcommand has a package of its own, with an
// options struct, a New that binds flags to it, and a run function. Commands reach the outside only
// through a session.IO, so tests run the real command in their own process.
package cli
