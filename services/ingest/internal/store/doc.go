// Package store is the gateway's memory: hashes of API keys and what they may do, and hashes of workers' secrets.
package store
