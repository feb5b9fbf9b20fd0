// Package former reads and writes what the former controller kept: one SQLite file and a folder of files.
//
//	workers, builds, build_logs, diagnostics, cpu_snapshots
//	storage/builds/<id>.zip, storage/certs/<id>.zip, storage/results/<id>.ipa or .apk
//
// Open reads a page at a time and holds no lock between pages, so a controller that still runs is not held up. Paths in the
// database are those of the machine that it ran on: of each only the last two elements count, below the folder that is given.
package former
