// Package protoevents is the root of the contracts that cross the bus: .proto files and the Go code
// generated from them. The facts are in freeagent/events, the requests in freeagent/scheduler and
// freeagent/artifact.
package protoevents
