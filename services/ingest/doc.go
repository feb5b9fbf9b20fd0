// Package ingest is the gateway: the HTTP API for people, scripts and workers.
//
// # Overview
//
// It owns API keys, workers' credentials, webhooks with their deliveries, and the state of
// unanswered submits (internal/store). It calls the scheduler (fa.scheduler.*) for builds, the
// artifact service (fa.artifact.*) for grants to move bytes, and the monitor (fa.monitor.*) for
// telemetry, statistics and diagnostic reports. It reads BUILD_LOGS, and BUILD_EVENTS for webhooks.
// It publishes telemetry samples for workers of API v1. It serves API v1 (deployed clients), API
// v2, and the auth callout of the bus.
//
//	submit:  form --parts as they come--> artifact (staged, stored)
//	         form complete --------------> scheduler.submit --> artifact.keep --> answer
//	         failed, client gone --------> artifact.discard
//	v1:      response not written -------> recorded; the same submit within 2 min gets that build, else scheduler.cancel
//
//	event:   BUILD_EVENTS --------------> a row for each matching webhook --> sent until accepted, or dead
//
// Only certificates are held in memory, a bounded number at once: they are checked and stored as
// one bundle (internal/signing).
//
// Gateways keep no state between requests, so any number of them can serve one address. Once the
// scheduler has been asked to submit, a client's disconnect changes nothing: only the scheduler
// knows whether the build exists.
//
// # When something is unavailable
//
// Scheduler or artifact service: requests fail as unavailable with Retry-After and leave nothing
// half done (the artifact service deletes objects that could not be discarded, after it has asked
// the scheduler). The bus: all requests fail, and followed logs break off; clients resume with
// Last-Event-ID. SQL: keys cannot be checked, so only health and transfers with a ticket work.
package ingest
