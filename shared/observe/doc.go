// Package observe sets up what operators see: log lines with fixed keys, and the request id that
// ties the lines of one request together.
//
// Keys that mean the same everywhere: service, build_id, attempt, worker_id, object_id, pool,
// platform, project, subject, stream, seq, request_id, trace_id, err. Durations are in seconds
// under a key that ends in _s. No secret is ever a value.
package observe
