// Package soak has one standalone server work for long under a steady mixed load: builds by real workers, workers of API v1 that post
// telemetry and log lines, people who follow logs and leave, and a webhook. Meanwhile it looks at what the server's process
// holds, and judges at the end: nothing may have grown, and no build may be lost.
package soak
