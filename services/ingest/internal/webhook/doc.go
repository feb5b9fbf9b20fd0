// Package webhook is what a webhook is, without database and bus: which events it wants, how they are written, signed and sent,
// and where to they may be sent.
//
// Whoever may make webhooks chooses where the gateway connects to. So an address inside of the gateway's own networks is refused
// when the connection is made, after the name was resolved, unless the configuration allows its network; redirects are not
// followed; and no proxy of the environment is used.
package webhook
