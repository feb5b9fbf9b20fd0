// Package telemetry measures CPU, memory, disk and processes of an attempt and publishes samples to
// BUILD_TELEMETRY. A sample that cannot be published is dropped: the next one is as good.
package telemetry
