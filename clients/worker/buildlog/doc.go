// Package buildlog carries a build's output to the bus: bytes become lines (Lines), lines lose their secrets (Mask), and
// gapless numbered chunks of them go to BUILD_LOGS in order (Shipper).
//
// While the bus is away lines wait in memory, up to a bound; then the build's own pipes stop being read and the build waits.
// A chunk is sent until it is acknowledged, always with the same message id, so a repeat is stored once (within the
// stream's window for duplicates; later a reader drops lines whose numbers it has seen).
package buildlog
