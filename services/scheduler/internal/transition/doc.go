// Package transition moves builds through their states. Nothing else writes the state of a build.
//
// # States
//
//	pending --Release--> queued --Assign--> assigned --EnterStage--> building --Complete--> completed
//	   ^ ^                 |                   |                        |------Fail-------> failed
//	   | `----Withdraw-----'                   |                        |
//	   `------Lose, Return---------------------'------------------------'   Cancel: from any live state
//
// The table of package build says which arrow may be taken from which state. Each arrow is a
// compare-and-set on the row that was read, in one transaction with the events that it emits, the
// hand-out, and the control plane's own lines of the build's log. So any number of schedulers may
// try the same arrow at once: one takes it, the others get store.ErrConflict.
//
// # Hand-outs
//
// HandOut builds the message that offers an attempt to workers. Its id is build and attempt, so
// that the stream keeps one of two.
package transition
