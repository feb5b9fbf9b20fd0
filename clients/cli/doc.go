// Package cli is the freeagent command as its users type it: one folder for each verb, each an options struct, a New that
// reads flags into it, and a run that acts. Everything it touches of the world comes in a session.IO, so that tests run the
// true command in their own process.
package cli
