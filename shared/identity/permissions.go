package identity

import (
	"github.com/nats-io/jwt/v2"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Worker is what the gateway knows of a worker that connects to the bus.
type Worker struct {
	ID, SecretHash string
	Pool           string
	// Platforms that it builds; none means all.
	Platforms []string
	Revoked   bool
}

// permissions name what a worker may publish and hear; everything else is denied by the server. Whatever it may say about a
// build is still decided against the lease.
func permissions(w Worker) jwt.Permissions {
	var p jwt.Permissions
	p.Pub.Allow.Add(
		bus.LogSubjectsBy(w.ID),
		bus.TelemetrySubject(w.ID, "*"),
		bus.KeySubject(bus.WorkerKey(w.ID)),
		bus.KeySubject("build."+w.ID+".>"),
		bus.WorkerRequestSubject("artifact", "grant", w.ID),
	)
	for _, verb := range []string{"sync", "claim", "stage", "finish"} {
		p.Pub.Allow.Add(bus.WorkerRequestSubject("scheduler", verb, w.ID))
	}
	platforms := w.Platforms
	if len(platforms) == 0 {
		for _, pl := range build.Platforms() {
			platforms = append(platforms, string(pl))
		}
	}
	for _, platform := range platforms {
		c := bus.QueueStream + "." + bus.QueueConsumer(w.Pool, platform)
		p.Pub.Allow.Add(
			"$JS.API.CONSUMER.INFO."+c, "$JS.API.CONSUMER.MSG.NEXT."+c,
			// Both shapes of the acknowledgement's subject: the second has domain and account in front (ADR-15 of NATS).
			"$JS.ACK."+c+".>", "$JS.ACK.*.*."+c+".>",
		)
	}
	p.Sub.Allow.Add(bus.InboxPrefix(w.ID)+".>", bus.ControlSubject(w.ID))
	return p
}
