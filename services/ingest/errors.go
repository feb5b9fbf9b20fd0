package ingest

import (
	"errors"
	"fmt"

	"github.com/expo-free-agent/freeagent/shared/build"
)

var (
	// errStalled: in a transfer no byte moved for too long.
	errStalled = errors.New("the transfer stalled")
	// errForbidden: the key is right and may not do this.
	errForbidden = errors.New("forbidden")
	// errConflict: the build's state does not allow what was asked.
	errConflict = errors.New("conflict")
	// errUnfit: what was sent is sound but lacks what it is for.
	errUnfit = errors.New("unfit")
	// errUnderWay: a submit of the same name has not ended yet. errNameTaken: the name was used for something else.
	errUnderWay  = errors.New("under way")
	errNameTaken = errors.New("name taken")
	// errTooMany: as many clients do this as the configuration allows.
	errTooMany = errors.New("too many at once")
)

// refusal is a no whose sentence is for the client. Its kind decides the status and the machine's code.
type refusal struct {
	kind     error
	sentence string
	// detail says more to those who do not look for the whole sentence: clients of API v2.
	detail string
}

func (r *refusal) Error() string { return r.sentence }
func (r *refusal) Unwrap() error { return r.kind }

func refuse(kind error, format string, args ...any) error {
	return &refusal{kind: kind, sentence: fmt.Sprintf(format, args...)}
}

// The sentences of API v1 that users' scripts look for.
const (
	sayNoKey          = "Missing X-API-Key header"
	sayWrongKey       = "Invalid API key"
	sayNoKeyOrToken   = "Missing X-API-Key or X-Build-Token header"
	sayWrongToken     = "Invalid or expired build token"
	sayMultipart      = "Content must be multipart/form-data"
	saySource         = "Source file required"
	sayPlatform       = "Valid platform required (ios|android)"
	saySourceLarge    = "Source file too large"
	sayCertsLarge     = "Certs file too large"
	sayNotCompleted   = "Build not completed"
	sayNotFound       = "Build not found"
	sayCancelled      = "Build cancelled by user"
	sayUnavailable    = "The service is not available right now; try again in a few seconds"
	sayInternal       = "Internal server error"
	sayFormCut        = "The upload ended early or is not a valid form"
	sayFormStalled    = "The upload stalled: no byte came for a minute"
	sayNoWorker       = "Missing X-Worker-Id header"
	sayNoBuildHeader  = "Missing X-Build-Id header"
	sayOtherBuild     = "X-Build-Id header does not match build ID in URL"
	sayNotHolder      = "Worker not authorized for this build"
	sayNotAssigned    = "Worker not assigned to this build"
	sayNotThisWorkers = "Build not assigned to this worker"
	sayRegister       = "Name and capabilities required"
	sayWorkerID       = "worker_id required"
	sayUploadIDs      = "build_id and worker_id required"
	sayResultLarge    = "Result file too large"
	sayLogBody        = "Invalid body. Expected {level, message} or {logs: [...]}"
	sayLogLevel       = "Invalid log level. Must be one of: info, warn, error"
	codeNoKey         = "missing_credentials"
	codeWrongKey      = "wrong_credentials"
	codeScope         = "insufficient_scope"
	codeNotCompleted  = "build_not_completed"
	codeStalled       = "transfer_stalled"
	codeTooMany       = "too_many_followers"
	sayProfileLarge   = "Profile file too large"
	sayNoCertsHere    = "Certs not found"
	codeUnfit         = "unprocessable"
)

// errUnknownID stands for an id that no build can have: as unknown as any other.
func errUnknownID(id string) error { return fmt.Errorf("build %.80q: %w", id, build.ErrNotFound) }
