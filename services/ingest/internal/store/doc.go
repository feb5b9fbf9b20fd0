// Package store has the gateway's tables: API keys, sessions, workers' credentials, submits and
// webhooks. Keys and secrets are hashed.
package store
