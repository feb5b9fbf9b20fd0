// Package ingest is the gateway: the only door for people, scripts and workers that come over HTTP.
//
// Owns: API keys and the credentials of workers (internal/store). Asks: the scheduler (fa.scheduler.*) about builds, the
// artifact service (fa.artifact.*) for permission to move bytes, which it then passes through without keeping any. Reads:
// BUILD_LOGS. Answers: HTTP API v1 (the deployed clients'), v2 (our own), and the bus's question who a connection is.
//
// It keeps no state between requests, so any number of gateways may stand behind one address. When the scheduler or the
// artifact service is away, requests are refused as unavailable with Retry-After and nothing is left half done; when the bus
// is away, everything is. When a client leaves in the middle of an upload, what had arrived is discarded.
package ingest
