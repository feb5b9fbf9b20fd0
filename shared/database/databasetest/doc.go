// Package databasetest runs a suite over both databases: SQLite in a file of the test's own, and a
// throwaway PostgreSQL cluster that is made from the system's binaries once in a test process and
// dies with it.
package databasetest
