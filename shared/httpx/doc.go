// Package httpx has what our HTTP services share: a server that stops in order, stall timeouts of
// bodies, request ids, refusals and problem documents. It knows nothing of builds.
package httpx
