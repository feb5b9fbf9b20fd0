// Package limit says how large the log of one attempt may become, and how a log says so. Our own worker keeps to it by itself,
// and the gateways do on behalf of workers that send their lines over HTTP.
package limit
