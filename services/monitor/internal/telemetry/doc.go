// Package telemetry stores samples of what builds use, condenses old ones to sums by the minute,
// and answers what a build used. Samples come in batches; each batch is stored in one transaction
// before it is acknowledged.
package telemetry
