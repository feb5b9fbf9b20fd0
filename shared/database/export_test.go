package database

// Queued counts the transactions that wait for their turn on a SQLite database.
func (db *DB) Queued() int64 { return db.commits.queued.Load() }
