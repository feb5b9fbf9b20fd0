// Package legacy imports the data of the legacy TypeScript controller through API v2, and exports it again. Only files named legacy.go
// use it.
package legacy
