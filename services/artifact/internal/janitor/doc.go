// Package janitor removes objects that nobody keeps, and everything of builds that have expired.
// Before it removes an object it asks the scheduler: what a build names is kept instead, so a crash
// between a submit or a finish and its keep loses nothing.
package janitor
