// Package identity identifies callers: API keys of people and scripts, secrets of workers, and what
// a worker may publish and subscribe to on the bus.
//
// Secrets are stored as SHA-256 only and compared in constant time. A slow password hash is not
// needed: these secrets are random (or, for a key chosen by an operator, required to be long), so
// there is no dictionary to try, and a gateway checks one with every request.
package identity
