// Package buildlog sends a build's output to the bus: Lines cuts bytes into lines, Mask removes
// secrets from them, and Shipper sends them to BUILD_LOGS in numbered chunks without a gap.
//
// # When the bus is unavailable
//
// Lines wait in memory, up to a limit. Beyond it the build's pipes are not read any more, and the
// build waits.
//
// # No line is stored twice
//
// A chunk is sent until it is acknowledged, always with the same message id, so a repeat within the
// stream's window for duplicates is stored once. Readers drop lines whose numbers they have seen.
package buildlog
