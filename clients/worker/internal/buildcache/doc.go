// Package buildcache keeps parts of builds for later builds of the same project: what the package manager installed, and what tools such as
// Metro made for themselves.
//
// # Snapshots and parked trees
//
// A snapshot is one compressed archive under a key that has everything that its content depends on. It is packed once and never changes, and
// each build gets files of its own: a build that writes into its node_modules (patch-package does) changes no other's.
//
// A parked tree is what a snapshot holds, as files instead of an archive: the files of a build that has ended, moved out of its directory. The
// next build moves them into its own, which costs nothing, however many they are. Marks show that no build has written to them. A tree has one
// user at a time; builds that run beside it unpack the snapshot.
//
// # Trust
//
// A build may run code that a stranger wrote: that of a pull request. So each branch of a project has caches of its own, except for those
// that the worker's owner trusts (main, master), which share one. A build reads those of its own branch and those of the trusted ones,
// and writes only its own. Which branch a build is of is what its submit says.
//
// # Bounds
//
// Prune removes what was not used for the longest time, by size and age.
package buildcache
