// Package legacy is the part of API v2 that imports the data of the legacy TypeScript controller and exports data in its form. It needs
// a key of scope admin.
//
// # Repeats
//
// Ids are kept. Times are milliseconds since the Unix epoch, 0 for none. Every import may be sent again: what is there is left as it is.
// With Check nothing is written, and the answer says what an import would do.
package legacy
