// Package build holds the words of the product: what a build is, the states of its life and the one table of transitions
// between them, the platforms and stages, and the sentinel errors that every service answers with.
//
//	pending --release--> queued --claim--> assigned --start--> building --complete--> completed
//	   ^                   |                  |                   |     `---fail----> failed
//	   |<----withdraw------'                  |                   |
//	   `<------------lose / hand back---------'-------------------'
//	cancel leads from every live state to cancelled; exhaust (the last attempt was lost) to failed.
//
// It imports only the standard library and nothing of ours, so that every module can speak these words.
package build
