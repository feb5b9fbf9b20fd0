// Package auth decides what a request may do.
//
// # Who may
//
// An API key has scopes; it comes as X-API-Key or as a bearer token. A build's own token, which its
// submit was answered with, is enough for that one build where a route says so. In API v2 a
// browser's session counts like the key or token that it began with. The key is judged before any
// look at the body.
package auth
