// Package build has the domain types of the product: what a build is, the states of its life and
// the one table of transitions between them, the platforms and stages, and the sentinel errors of
// every service. It imports only the standard library.
//
// # States
//
//	pending --release--> queued --claim--> assigned --start--> building --complete--> completed
//	   ^                   |                  |                   |     `---fail----> failed
//	   |<----withdraw------'                  |                   |
//	   `<------------lose / return------------'-------------------'
//	cancel leads from every live state to cancelled; exhaust (the last attempt was lost) to failed.
package build
