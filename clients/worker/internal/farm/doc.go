// Package farm is the worker's side of the bus: requests to the other services and messages to
// streams, over the connection in use.
//
// # When the bus is unavailable
//
// Requests fail with build.ErrUnavailable, and the caller tries again. The worker replaces the
// connection when it joins again.
package farm
