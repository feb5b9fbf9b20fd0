// Package submit handles submits and retries: it reads the form as it arrives, stores its files,
// and submits the build to the scheduler.
//
// # Repeats
//
// All submits with the same idempotency key are one build. A repeat waits for a first submit that
// is still in progress, and takes over from one whose gateway has died. Submits of API v1 have no
// key: one that equals an unanswered one gets its build.
//
// # What is left behind
//
// A refused submit deletes what it has stored. Where that fails, the artifact service's janitor
// does it.
package submit
