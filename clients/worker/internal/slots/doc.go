// Package slots counts the builds that a worker may still start.
package slots
