package build

import "errors"

// The sentinels travel between services as machine codes (see package rpc) and decide HTTP answers; compare with errors.Is.
var (
	// ErrNotFound: no build has this id.
	ErrNotFound = errors.New("build not found")
	// ErrExpired: the build has expired by a retention policy; only a trace of it is left.
	ErrExpired = errors.New("build expired")
	// ErrInvalid: the request itself is wrong; its text says how.
	ErrInvalid = errors.New("invalid request")
	// ErrFinished: the build is in a final state already.
	ErrFinished = errors.New("build already finished")
	// ErrTaken: another worker holds the build.
	ErrTaken = errors.New("build is taken")
	// ErrNotQueued: the attempt is not on offer (withdrawn, or a later attempt is).
	ErrNotQueued = errors.New("build is not on offer")
	// ErrLeaseLost: the caller does not hold this attempt (any more); what it asked changed nothing.
	ErrLeaseLost = errors.New("lease lost")
	// ErrQueueFull: as many builds wait as the configuration allows; try later.
	ErrQueueFull = errors.New("queue is full")
	// ErrWorkerUnknown: no worker has this id.
	ErrWorkerUnknown = errors.New("worker not found")
	// ErrNotEligible: the worker cannot do this build (pool, platform), or is draining.
	ErrNotEligible = errors.New("worker is not eligible for this build")
	// ErrNoSlot: the worker holds as many builds as it has slots.
	ErrNoSlot = errors.New("worker has no free slot")
	// ErrObjectNotFound: nothing is stored under this object id.
	ErrObjectNotFound = errors.New("object not found")
	// ErrObjectCorrupt: stored bytes do not match their SHA-256.
	ErrObjectCorrupt = errors.New("object is corrupt")
	// ErrTooLarge: more bytes than the limit for this kind of object.
	ErrTooLarge = errors.New("too large")
	// ErrNoSpace: the object store, or the disk of a service, is full. It matches ErrUnavailable, too: the same call succeeds once
	// there is space, so who waits for a service that is away waits for this.
	ErrNoSpace error = &remoteError{text: "no space left", sentinel: ErrUnavailable}
	// ErrBadArchive: a source that is not a usable archive; the text says why.
	ErrBadArchive = errors.New("not a usable archive")
	// ErrUnauthorized: credentials are missing or wrong.
	ErrUnauthorized = errors.New("not authorized")
	// ErrRebuilding: the figures are being counted anew already.
	ErrRebuilding = errors.New("the figures are being counted anew already; wait a few seconds before you ask for it again")
	// ErrUnavailable: a dependency does not answer; the same call may succeed later.
	ErrUnavailable = errors.New("service unavailable")
)
