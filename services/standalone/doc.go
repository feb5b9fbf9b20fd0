// Package standalone runs the whole product in one process under one data directory: the four services, the bus, SQLite and
// the S3 endpoint, and a local worker if asked. It is the services' own code, wired by one table (app.go); they never know.
package standalone
