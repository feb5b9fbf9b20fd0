// Package identity says who somebody is: API keys of people and scripts, secrets of workers, and what a worker may say and
// hear on the bus. Secrets are stored as SHA-256 only and compared in constant time.
//
// SHA-256 and no slow password hash: these secrets are random (or, for a key chosen by an operator, required to be long),
// so there is no dictionary to try, and a gateway checks one with every request.
package identity
