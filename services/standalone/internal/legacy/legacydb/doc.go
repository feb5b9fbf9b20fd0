// Package legacydb reads and writes the data of the legacy controller: one SQLite file and a folder of files.
//
//	workers, builds, build_logs, diagnostics, cpu_snapshots
//	storage/builds/<id>.zip, storage/certs/<id>.zip, storage/results/<id>.ipa or .apk
//
// Open reads a page at a time and holds no lock between pages, so it does not delay a controller that runs. Paths in the database are
// those of the machine that the controller ran on: only their last two elements count, below the folder that Open is given.
package legacydb
