// Package legacyexport is the command freeagent export: it writes the data of a server in the form of the legacy controller, so that the
// controller can take over again. It reads over the HTTP API, as the import writes.
//
// With the legacy database as a base, everything in it stays (access tokens, row numbers, paths), and what happened since the import is
// added. Without one, imported builds get the token that this server issues, because it knows only the hash of the old one.
//
// Builds that have not ended become pending. A file is written beside its place, synced and moved, and stays if it exists with the same
// content, so an interrupted run is run again.
package legacyexport
