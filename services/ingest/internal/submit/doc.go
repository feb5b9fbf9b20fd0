// Package submit takes submits and retries: it reads the form as it arrives, stores its files, and has the scheduler acknowledge the build.
//
// # Repeats
//
// A submit with an idempotency key is one build however often it is sent. A repeat waits for a first submit that is still in progress,
// and takes over from one whose gateway has died. A submit of API v1 has no key: an equal one that follows an unanswered one gets its
// build.
//
// # What is left behind
//
// A refused submit deletes what it has stored. Where that fails, the artifact service's janitor does it.
package submit
