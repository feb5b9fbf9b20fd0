// Package api is HTTP API v2 for Go programs: the types that the gateway answers with and a client
// for them. The command line, the worker and tests use it; its OpenAPI document is made of the same
// types.
//
// # Services
//
// A Client groups its methods by what they are about: Builds, Workers, Webhooks, Retention, Rules,
// and Objects for bytes with a Grant. Package legacy has the import from the legacy controller.
//
// # When the connection breaks
//
// Submits, cancels, retries and transfers are tried again while they make progress, and for
// Config.RetryFor without any. A repeat never makes a second build. Transfers and followed logs
// resume where they broke. A transfer without a byte for Config.StallTimeout counts as broken.
//
// # Errors
//
// A refusal of the server is an *Error with the server's code. It matches the sentinel of package
// build with errors.Is. No answer is ErrUnreachable, whose text says what to try.
package api
