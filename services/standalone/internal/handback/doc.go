// Package handback is `freeagent export`, the way back: it writes what a server has as the former controller keeps it, so that the
// former controller can go on. It reads over the HTTP API, as the import writes.
//
// With the former database as a base, what the base has is kept (access tokens, row numbers, paths), and what became of it here
// and what is new is added. Without one, builds that were taken over get the token that this server would give them, since of the
// one that they had only the hash is known.
//
// What has not ended here becomes pending there. Files are written beside their place, synced and moved, and one that is there with
// the same content is left, so a run that was killed is run again.
package handback
