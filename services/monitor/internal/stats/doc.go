// Package stats keeps statistics by day: counts, durations, and how busy workers were. Each event
// is counted once; its id is stored with what it adds.
package stats
