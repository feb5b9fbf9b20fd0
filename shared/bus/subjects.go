package bus

import (
	"fmt"
	"strconv"
	"strings"
)

// Subjects come in pairs: one builder to publish, one to subscribe; parsers are the builders' inverse. Every token that
// names a build, worker or pool satisfies build.ValidID, so it can hold no dot, star or space.
const prefix = "fa."

// System is the worker token of log lines that the control plane writes ("Build submitted").
const System = "_"

// Event is the last token of an event's subject.
type Event string

// The events, in the past tense.
const (
	Submitted Event = "submitted"
	Queued    Event = "queued"
	Assigned  Event = "assigned"
	Started   Event = "started"
	Stage     Event = "stage"
	Completed Event = "completed"
	Failed    Event = "failed"
	Cancelled Event = "cancelled"
	Stalled   Event = "stalled"
	Retried   Event = "retried"
	// Waiting: a build has waited for long.
	Waiting Event = "waiting"
	// Reused: a submit got this completed build instead of one of its own.
	Reused Event = "reused"

	Registered Event = "registered"
	Online     Event = "online"
	Offline    Event = "offline"
)

// BuildSubject is fa.builds.<build>.<event>.
func BuildSubject(buildID string, e Event) string {
	return prefix + "builds." + buildID + "." + string(e)
}

// BuildSubjects subscribes to one event of all builds: fa.builds.*.<event>.
func BuildSubjects(e Event) string { return prefix + "builds.*." + string(e) }

// BuildSubjectsOf subscribes to all events of one build: fa.builds.<build>.*.
func BuildSubjectsOf(buildID string) string { return prefix + "builds." + buildID + ".*" }

// WorkerSubject is fa.workers.<worker>.<event>.
func WorkerSubject(workerID string, e Event) string {
	return prefix + "workers." + workerID + "." + string(e)
}

// WorkerSubjects subscribes to one event of all workers: fa.workers.*.<event>.
func WorkerSubjects(e Event) string { return prefix + "workers.*." + string(e) }

// ParseEvent takes the id and the event out of a build's or worker's event subject.
func ParseEvent(subject string) (id string, e Event, err error) {
	t := strings.Split(subject, ".")
	if len(t) != 4 || t[0] != "fa" || t[1] != "builds" && t[1] != "workers" {
		return "", "", fmt.Errorf("subject %q is not an event's", subject)
	}
	return t[2], Event(t[3]), nil
}

// EntityOf returns the id of the build or worker that an event's subject is about: the Key of a Consumer
// of events. A subject that is not an event's is its own.
func EntityOf(subject string) string {
	id, _, err := ParseEvent(subject)
	if err != nil {
		return subject
	}
	return id
}

// QueueSubject is fa.queue.<pool>.<platform>.<build>.<attempt>: the stream's subject list says exactly which hand-outs lie
// in it, and one can be taken out by purging its subject.
func QueueSubject(pool, platform, buildID string, attempt int32) string {
	return fmt.Sprintf("%squeue.%s.%s.%s.%d", prefix, pool, platform, buildID, attempt)
}

// QueueSubjects subscribes to the hand-outs of one pool and platform.
func QueueSubjects(pool, platform string) string {
	return prefix + "queue." + pool + "." + platform + ".*.*"
}

// ParseQueue is the inverse of QueueSubject.
func ParseQueue(subject string) (pool, platform, buildID string, attempt int32, err error) {
	t := strings.Split(subject, ".")
	if len(t) == 6 && t[0] == "fa" && t[1] == "queue" {
		if n, err := strconv.ParseInt(t[5], 10, 32); err == nil {
			return t[2], t[3], t[4], int32(n), nil
		}
	}
	return "", "", "", 0, fmt.Errorf("subject %q is not a hand-out's", subject)
}

// QueueConsumer names the one durable consumer of a pool and platform.
func QueueConsumer(pool, platform string) string { return pool + "-" + platform }

// LogSubject is fa.logs.<worker>.<build>.<attempt>.
func LogSubject(workerID, buildID string, attempt int32) string {
	return fmt.Sprintf("%slogs.%s.%s.%d", prefix, workerID, buildID, attempt)
}

// LogSubjectsOf subscribes to a build's log, all attempts and writers: fa.logs.*.<build>.*.
func LogSubjectsOf(buildID string) string { return prefix + "logs.*." + buildID + ".*" }

// LogSubjectsBy is what a worker may publish to: fa.logs.<worker>.*.*.
func LogSubjectsBy(workerID string) string { return prefix + "logs." + workerID + ".*.*" }

// ParseLog is the inverse of LogSubject.
func ParseLog(subject string) (workerID, buildID string, attempt int32, err error) {
	t := strings.Split(subject, ".")
	if len(t) == 5 && t[0] == "fa" && t[1] == "logs" {
		if n, err := strconv.ParseInt(t[4], 10, 32); err == nil {
			return t[2], t[3], int32(n), nil
		}
	}
	return "", "", 0, fmt.Errorf("subject %q is not a log's", subject)
}

// TelemetrySubject is fa.telemetry.<worker>.<build>.
func TelemetrySubject(workerID, buildID string) string {
	return prefix + "telemetry." + workerID + "." + buildID
}

// TelemetrySubjects subscribes to the samples of all builds: fa.telemetry.*.*.
func TelemetrySubjects() string { return prefix + "telemetry.*.*" }

// TelemetrySubjectsOf subscribes to the samples of one build: fa.telemetry.*.<build>.
func TelemetrySubjectsOf(buildID string) string { return prefix + "telemetry.*." + buildID }

// ParseTelemetry is the inverse of TelemetrySubject.
func ParseTelemetry(subject string) (workerID, buildID string, err error) {
	t := strings.Split(subject, ".")
	if len(t) == 4 && t[0] == "fa" && t[1] == "telemetry" {
		return t[2], t[3], nil
	}
	return "", "", fmt.Errorf("subject %q is not telemetry's", subject)
}

// ControlSubject is where a worker listens for orders: fa.control.<worker>. Core NATS: a worker that misses an order learns of it from its
// next sync.
func ControlSubject(workerID string) string { return prefix + "control." + workerID }

// WakeSubject is where workers listen that were turned away at the full queue of a pool: fa.wake.<pool>.<platform>. The message means that
// hand-outs lie unclaimed. Core NATS: it is repeated as long as they do.
func WakeSubject(pool, platform string) string { return prefix + "wake." + pool + "." + platform }

// InboxPrefix is a prefix of a worker's own, so that others cannot read its replies.
func InboxPrefix(workerID string) string { return "_INBOX_" + workerID }

// LeaseKey is the heartbeat key of a running attempt. It carries the worker, so that permissions alone stop one worker from
// keeping another's attempt alive.
func LeaseKey(workerID, buildID string, attempt int32) string {
	return fmt.Sprintf("build.%s.%s.%d", workerID, buildID, attempt)
}

// WorkerKey is a worker's own heartbeat key.
func WorkerKey(workerID string) string { return "worker." + workerID }

// ParseKey is the inverse of LeaseKey and WorkerKey; buildID is empty for a worker's own key.
func ParseKey(key string) (workerID, buildID string, attempt int32, err error) {
	t := strings.Split(key, ".")
	switch {
	case len(t) == 2 && t[0] == "worker":
		return t[1], "", 0, nil
	case len(t) == 4 && t[0] == "build":
		if n, err := strconv.ParseInt(t[3], 10, 32); err == nil {
			return t[1], t[2], int32(n), nil
		}
	}
	return "", "", 0, fmt.Errorf("%q is not a heartbeat key", key)
}

// KeySubject is the subject behind a heartbeat key. Refresh a key by publishing here with a TTL: kv.Put would make it
// permanent.
func KeySubject(key string) string { return "$KV." + HeartbeatBucket + "." + key }

// RequestSubject is fa.<service>.<verb>, for requests between services.
func RequestSubject(service, verb string) string { return prefix + service + "." + verb }

// WorkerRequestSubject is fa.<service>.<verb>.<worker>, for requests of workers.
func WorkerRequestSubject(service, verb, workerID string) string {
	return prefix + service + "." + verb + "." + workerID
}

// StreamOf returns the stream that stores a subject of ours; empty for one that no stream stores.
func StreamOf(subject string) string {
	kind, _, _ := strings.Cut(strings.TrimPrefix(subject, prefix), ".")
	return map[string]string{
		"builds": EventsStream, "workers": EventsStream, "queue": QueueStream, "logs": LogsStream, "telemetry": TelemetryStream,
	}[kind]
}
