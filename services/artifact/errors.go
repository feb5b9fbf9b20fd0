package artifact

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/ticket"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/outage"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// What only the data plane answers, beside the sentinels of package build.
var (
	// errExists: a second upload to an object sent other bytes than the first.
	errExists = errors.New("object exists")
	// errRange: the range asked for starts past the object's end.
	errRange = errors.New("range not satisfiable")
	// errOffset: an upload in pieces stands elsewhere than the client believes.
	errOffset = errors.New("upload offset mismatch")
	// errStalled: no byte arrived for Config.StallTimeout.
	errStalled = errors.New("transfer stalled")
	// errCut: the connection ended before the body did.
	errCut = errors.New("upload was cut off")
)

// refusal is an error with a sentence for the user; what caused it stays in the log.
type refusal struct {
	sentinel, cause error
	text            string
}

func (r *refusal) Error() string { return r.text }

func (r *refusal) Unwrap() []error {
	if r.cause == nil {
		return []error{r.sentinel}
	}
	return []error{r.sentinel, r.cause}
}

func refuse(sentinel error, format string, args ...any) error {
	return &refusal{sentinel: sentinel, text: fmt.Sprintf(format, args...)}
}

// because is refuse with a cause that is logged and not shown.
func because(sentinel, cause error, format string, args ...any) error {
	return &refusal{sentinel: sentinel, cause: cause, text: fmt.Sprintf(format, args...)}
}

// statuses gives each machine code its HTTP status; all others are 500.
//
//nolint:gochecknoglobals // a table
var statuses = map[string]int{
	"build_not_found":       http.StatusNotFound,
	"object_not_found":      http.StatusNotFound,
	"invalid_request":       http.StatusBadRequest,
	"bad_archive":           http.StatusBadRequest,
	"upload_cut":            http.StatusBadRequest,
	"not_authorized":        http.StatusUnauthorized,
	"transfer_stalled":      http.StatusRequestTimeout,
	"object_exists":         http.StatusConflict,
	api.CodeOffset:          http.StatusConflict,
	"lease_lost":            http.StatusConflict,
	"too_large":             http.StatusRequestEntityTooLarge,
	"range_not_satisfiable": http.StatusRequestedRangeNotSatisfiable,
	"unavailable":           http.StatusServiceUnavailable,
	"no_space":              http.StatusInsufficientStorage,
}

// describe returns an error's machine code, HTTP status and public sentence.
func describe(err error) (code string, status int, text string) {
	switch {
	case errors.Is(err, errExists):
		code = "object_exists"
	case errors.Is(err, errOffset):
		code = api.CodeOffset
	case errors.Is(err, errRange):
		code = "range_not_satisfiable"
	case errors.Is(err, errStalled):
		code = "transfer_stalled"
	case errors.Is(err, errCut):
		code = "upload_cut"
	default:
		code = rpc.Code(err)
	}
	status, known := statuses[code]
	if !known {
		status = http.StatusInternalServerError
	}
	var r *refusal
	if errors.As(err, &r) {
		return code, status, r.text
	}
	if outage.IsDiskFull(err) {
		return code, status, outage.MsgDiskFull
	}
	if status == http.StatusServiceUnavailable {
		return code, status, "the artifact service does not reach what it needs right now; try again in a few seconds"
	}
	return code, status, "the artifact service could not do this; its log says why"
}

// translate turns what the layers below say into refusals. Errors that are refusals already, and unknown ones, pass.
func translate(err error) error {
	var r *refusal
	switch {
	case err == nil || errors.As(err, &r):
		return err
	case errors.Is(err, store.ErrNotFound):
		return because(build.ErrObjectNotFound, err, "no such object")
	case errors.Is(err, store.ErrNotStaged):
		return because(build.ErrUnavailable, err, "the object changed meanwhile; try again")
	case errors.Is(err, ticket.ErrExpired):
		return because(build.ErrUnauthorized, err, "the transfer ticket has expired; ask for a new one")
	case errors.Is(err, ticket.ErrInvalid):
		return because(build.ErrUnauthorized, err, "the transfer ticket is missing or not valid")
	case errors.Is(err, store.ErrMoved):
		return because(errOffset, err, "another request went on with this upload; ask where it stands")
	case errors.Is(err, objects.ErrNoUpload):
		return because(build.ErrObjectNotFound, err, "the upload is over; begin a new one")
	case errors.Is(err, objects.ErrAway):
		return because(build.ErrUnavailable, err, "the object store does not answer right now; try again in a few seconds")
	case errors.Is(err, objects.ErrNoSpace):
		return because(build.ErrNoSpace, err, "the object store is full; free space there and try again")
	case errors.Is(err, objects.ErrNotFound), errors.Is(err, objects.ErrCorrupt), errors.Is(err, objects.ErrRange):
		return because(build.ErrObjectCorrupt, err, "the stored bytes are missing or damaged")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, objects.ErrStalled):
		return because(build.ErrUnavailable, err, "the transfer was interrupted; try again")
	}
	return err
}
