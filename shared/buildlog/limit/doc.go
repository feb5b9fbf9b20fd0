// Package limit defines how large the log of one attempt may become, and how a log reports that.
// Our own worker enforces it, and the gateways do for workers that send their lines over HTTP.
package limit
