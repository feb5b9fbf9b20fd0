// Package rpc is typed request and reply over the bus: protobuf messages on NATS services (package
// micro, so that discovery, ping and statistics come with it), the product's sentinel errors as
// machine codes, a deadline on every call and a bound on what is handled at once.
//
// Every request of ours may be sent twice: callers choose ids, and handlers answer a repeat as they
// answered the first.
package rpc
