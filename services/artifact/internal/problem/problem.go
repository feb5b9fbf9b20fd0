package problem

import (
	"context"
	"errors"
	"net/http"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/ticket"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/outage"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// Errors of transfers, beside the sentinels of package build.
var (
	// ErrExists: a second upload to an object sent other bytes than the first.
	ErrExists = errors.New("object exists")
	// ErrRange: the range asked for starts past the object's end.
	ErrRange = errors.New("range not satisfiable")
	// ErrOffset: an upload in pieces stands elsewhere than the client believes.
	ErrOffset = errors.New("upload offset mismatch")
	// ErrCut: the connection ended before the body did.
	ErrCut = errors.New("upload was cut off")
)

// statuses are the HTTP statuses of machine codes; all others are 500.
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

// Describe returns an error's machine code, HTTP status and public sentence.
func Describe(err error) (code string, status int, text string) {
	switch {
	case errors.Is(err, ErrExists):
		code = "object_exists"
	case errors.Is(err, ErrOffset):
		code = api.CodeOffset
	case errors.Is(err, ErrRange):
		code = "range_not_satisfiable"
	case errors.Is(err, httpx.ErrStalled):
		code = "transfer_stalled"
	case errors.Is(err, ErrCut):
		code = "upload_cut"
	default:
		code = rpc.Code(err)
	}
	status, known := statuses[code]
	if !known {
		status = http.StatusInternalServerError
	}
	var r *httpx.Refusal
	if errors.As(err, &r) {
		return code, status, r.Sentence
	}
	if outage.IsDiskFull(err) {
		return code, status, outage.MsgDiskFull
	}
	if status == http.StatusServiceUnavailable {
		return code, status, "the artifact service does not reach what it needs right now; try again in a few seconds"
	}
	return code, status, "the artifact service could not do this; its log says why"
}

// Translate turns what the layers below say into refusals. Errors that are refusals already, and unknown ones, pass.
func Translate(err error) error {
	var r *httpx.Refusal
	switch {
	case err == nil || errors.As(err, &r):
		return err
	case errors.Is(err, store.ErrNotFound):
		return httpx.Because(build.ErrObjectNotFound, err, "no such object")
	case errors.Is(err, store.ErrNotStaged):
		return httpx.Because(build.ErrUnavailable, err, "the object changed meanwhile; try again")
	case errors.Is(err, ticket.ErrExpired):
		return httpx.Because(build.ErrUnauthorized, err, "the transfer ticket has expired; ask for a new one")
	case errors.Is(err, ticket.ErrInvalid):
		return httpx.Because(build.ErrUnauthorized, err, "the transfer ticket is missing or not valid")
	case errors.Is(err, store.ErrMoved):
		return httpx.Because(ErrOffset, err, "another request went on with this upload; ask where it stands")
	case errors.Is(err, objects.ErrNoUpload):
		return httpx.Because(build.ErrObjectNotFound, err, "the upload is over; begin a new one")
	case errors.Is(err, objects.ErrAway):
		return httpx.Because(build.ErrUnavailable, err, "the object store does not answer right now; try again in a few seconds")
	case errors.Is(err, objects.ErrNoSpace):
		return httpx.Because(build.ErrNoSpace, err, "the object store is full; free space there and try again")
	case errors.Is(err, objects.ErrNotFound), errors.Is(err, objects.ErrCorrupt), errors.Is(err, objects.ErrRange):
		return httpx.Because(build.ErrObjectCorrupt, err, "the stored bytes are missing or damaged")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, objects.ErrStalled):
		return httpx.Because(build.ErrUnavailable, err, "the transfer was interrupted; try again")
	}
	return err
}
