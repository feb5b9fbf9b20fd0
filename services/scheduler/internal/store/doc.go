// Package store stores the scheduler's tables: builds, their attempts, and workers, in SQLite or
// PostgreSQL. It decides nothing: every write names the state and attempt that it expects to
// replace, and refuses with ErrConflict when they have changed.
package store
