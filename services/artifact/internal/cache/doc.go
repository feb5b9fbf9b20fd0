// Package cache is the farm's shared cache of builds: what workers pack of installs and bundlers'
// caches, for other workers.
//
// # Trust
//
// An entry belongs to a scope: a project and its trusted branches, or a project and one branch. The
// scopes of an attempt follow from its build's project and branch, as the scheduler knows them, and
// never from what the worker says. An attempt reads the entries of its own scope and of the trusted
// one, and writes those of its own: a pull request cannot change what main is built with.
//
// # Bounds
//
// The declared sizes of all entries are at most Config.MaxBytes. An entry is admitted, and the least
// recently used ones removed for it, before its first byte can arrive.
package cache
