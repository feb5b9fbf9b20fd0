// Package meter has the service's counters.
package meter
