// Package httpapi has what every handler of the gateway needs: answers and refusals in the form of
// both APIs, reading bodies, server-sent events, request ids and middleware. It knows nothing of
// builds beyond the sentinel errors of shared/build.
//
// # Dialects
//
// Both APIs refuse with the same status. API v1 answers {"error": "<sentence>"}, and scripts look
// for some of its sentences, so the messages in this package must not change. API v2 answers a
// problem document (RFC 9457) with a machine-readable code.
//
// # Errors
//
// Handlers return errors and pass them to Responder.Fail, the one place that turns an error into an
// answer. An error of Refuse carries a sentence for the client; a sentinel of shared/build has a
// status; the text of any other error stays in the log.
package httpapi
