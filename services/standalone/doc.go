// Package standalone runs the whole product in one process under one data directory: the four
// services, the bus, SQLite and the S3 endpoint, and optionally a local worker. It runs the
// services' own code, connected by one table (app.go).
package standalone
