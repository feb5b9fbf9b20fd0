// Package webhook sends events to webhooks: it selects, renders, signs and delivers them.
//
// # Where webhooks may be sent
//
// Users choose where the gateway connects to. So it refuses connections to private networks, after
// name resolution, unless the configuration allows the network. It follows no redirects and uses no
// proxy of the environment.
package webhook
