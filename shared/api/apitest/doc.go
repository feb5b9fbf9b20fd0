// Package apitest is the far end of the wire for tests of API v2's clients: a server that answers
// every route of theirs as the gateway does, from memory, with what a real network adds: cut
// connections, refusals, silence.
//
// Its builds do what the test says. The real server is tested against the real client in
// services/standalone.
package apitest
