package identity

import (
	"fmt"

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

// Permissions name what a worker may publish and hear; everything else is denied by the server. Whatever it may say about a
// build is still decided against the lease.
//
// Names become tokens of subjects, where a star or a dot would open other workers' subjects; so a worker whose id, pool or
// platforms are not plain names gets ErrWorker and nothing.
func Permissions(w Worker) (jwt.Permissions, error) {
	var p jwt.Permissions
	if err := validWorker(w.ID); err != nil {
		return p, err
	}
	platforms, err := platformsOf(w)
	if err != nil {
		return p, err
	}
	p.Pub.Allow.Add(
		bus.LogSubjectsBy(w.ID),
		bus.TelemetrySubject(w.ID, "*"),
		bus.KeySubject(bus.WorkerKey(w.ID)),
		bus.KeySubject("build."+w.ID+".*.*"),
		bus.WorkerRequestSubject("artifact", "grant", w.ID),
	)
	for _, verb := range []string{"sync", "claim", "stage", "finish"} {
		p.Pub.Allow.Add(bus.WorkerRequestSubject("scheduler", verb, w.ID))
	}
	p.Sub.Allow.Add(bus.InboxPrefix(w.ID)+".>", bus.ControlSubject(w.ID))
	for _, platform := range platforms {
		c := bus.QueueStream + "." + bus.QueueConsumer(w.Pool, string(platform))
		p.Pub.Allow.Add(
			"$JS.API.CONSUMER.INFO."+c, "$JS.API.CONSUMER.MSG.NEXT."+c,
			// Both shapes of the acknowledgement's subject: the second has domain and account in front (ADR-15 of NATS).
			"$JS.ACK."+c+".>", "$JS.ACK.*.*."+c+".>",
		)
		p.Sub.Allow.Add(bus.WakeSubject(w.Pool, string(platform)))
	}
	return p, nil
}

// validWorker refuses ids that are no plain name, and the control plane's own.
func validWorker(id string) error {
	if !build.ValidID(id) || id == bus.System {
		return fmt.Errorf("%w: %s is not a worker's id", ErrWorker, printable(id))
	}
	return nil
}

// platformsOf returns the platforms of a worker whose pool and platforms have names.
func platformsOf(w Worker) ([]build.Platform, error) {
	if !build.ValidID(w.Pool) {
		return nil, fmt.Errorf("%w: %s is not a pool", ErrWorker, printable(w.Pool))
	}
	if len(w.Platforms) == 0 {
		return build.Platforms(), nil
	}
	platforms := make([]build.Platform, 0, len(w.Platforms))
	for _, s := range w.Platforms {
		p, err := build.ParsePlatform(s)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrWorker, err)
		}
		platforms = append(platforms, p)
	}
	return platforms, nil
}
