// Package api is the HTTP API v2 as Go sees it: the types that the gateway answers with and a client for them, used by the
// command line and the worker.
package api
