// Package ingest is the gateway: the only door for people, scripts and workers that come over HTTP.
//
// Owns: API keys, the credentials of workers, webhooks with their deliveries, and which submits could not be answered
// (internal/store). Asks: the scheduler (fa.scheduler.*) about builds, the artifact service (fa.artifact.*) for permission to
// move bytes, which it then passes through without keeping any, and the monitor (fa.monitor.*) for telemetry, figures and
// diagnostic reports. Reads: BUILD_LOGS, and BUILD_EVENTS for webhooks. Publishes: samples of telemetry, on behalf of workers
// of v1. Answers: HTTP API v1 (the deployed clients'), v2 (our own), and the bus's question who a connection is.
//
//	submit:  form --parts as they come--> artifact (staged, stored)
//	         form complete --------------> scheduler.submit --> artifact.keep --> answer
//	         refused, cut, client gone --> artifact.discard
//	v1:      answer not written ---------> remembered; the same submit within 2 min gets that build, else scheduler.cancel
//
//	event:   BUILD_EVENTS --------------> a row for each webhook that wants it --> sent until it is taken, or dead
//
// Certs alone are held in memory, a bounded number at once: they are checked and stored as one bundle (shared/signing).
//
// It keeps no state between requests, so any number of gateways may stand behind one address. Once the scheduler was asked,
// a client that leaves changes nothing: the build is its owner's, and the scheduler alone knows whether it exists.
//
// When a dependency fails: without the scheduler or the artifact service, requests are refused as unavailable with
// Retry-After and nothing is left half done (what could not be discarded expires, after the artifact service has asked the
// scheduler); without the bus, everything is refused and followed logs are cut, to be resumed by Last-Event-ID; without SQL
// no key can be checked, so only health and transfers with a ticket are served.
package ingest
