// Package soak runs one standalone server for long under a steady mixed load: builds by real
// workers, workers of API v1 that post telemetry and log lines, subscribers of logs that come and
// go, and a webhook. It measures the server's process and judges at the end: nothing may have
// grown, and no build may be lost.
package soak
