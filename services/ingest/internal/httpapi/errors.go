package httpapi

import (
	"errors"
	"net/http"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// Kinds of refusals that are not sentinels of shared/build.
var (
	// ErrForbidden means that the key is valid but lacks the scope.
	ErrForbidden = errors.New("forbidden")
	// ErrConflict means that the build's state does not allow the request.
	ErrConflict = errors.New("conflict")
	// ErrUnprocessable means that the request is well-formed but lacks what its purpose needs.
	ErrUnprocessable = errors.New("unprocessable")
	// ErrInProgress means that another submit with the same idempotency key has not ended yet.
	ErrInProgress = errors.New("in progress")
	// ErrKeyReused means that an idempotency key was used for a different request.
	ErrKeyReused = errors.New("idempotency key reused")
	// ErrTooMany means that the configured number of clients do this already.
	ErrTooMany = errors.New("too many at once")
)

// Answerer is an error that writes its own answer.
type Answerer interface {
	error
	Answer(w http.ResponseWriter, r *http.Request, d Dialect)
}

// answer is the HTTP response for an error. An empty sentence means the error's text, an empty code
// the sentinel's.
type answer struct {
	err            error
	status         int
	sentence, code string
}

func answers() []answer {
	return []answer{
		{build.ErrNotFound, http.StatusNotFound, MsgNotFound, ""},
		{build.ErrExpired, http.StatusGone, "", ""},
		{build.ErrFinished, http.StatusBadRequest, "Build already finished", ""},
		{build.ErrWorkerUnknown, http.StatusNotFound, "Worker not found", ""},
		{build.ErrObjectNotFound, http.StatusNotFound, "", ""},
		{build.ErrObjectCorrupt, http.StatusInternalServerError, "", ""},
		{build.ErrTooLarge, http.StatusRequestEntityTooLarge, "", ""},
		{build.ErrNoSpace, http.StatusInsufficientStorage, "", ""},
		{build.ErrBadArchive, http.StatusBadRequest, "", ""},
		{build.ErrInvalid, http.StatusBadRequest, "", ""},
		{build.ErrLeaseLost, http.StatusConflict, "", ""},
		{build.ErrRebuilding, http.StatusConflict, "", ""},
		{build.ErrQueueFull, http.StatusTooManyRequests, "", ""},
		{build.ErrUnauthorized, http.StatusForbidden, "", ""},
		{ErrConflict, http.StatusConflict, "", CodeNotCompleted},
		{ErrInProgress, http.StatusServiceUnavailable, "", api.CodeUnderWay},
		{ErrKeyReused, http.StatusUnprocessableEntity, "", "idempotency_key_reused"},
		{ErrForbidden, http.StatusForbidden, "", CodeScope},
		{ErrUnprocessable, http.StatusUnprocessableEntity, "", codeUnprocessable},
		{ErrTooMany, http.StatusServiceUnavailable, "", codeTooMany},
		{httpx.ErrStalled, http.StatusRequestTimeout, MsgFormStalled, CodeStalled},
		{build.ErrUnavailable, http.StatusServiceUnavailable, MsgUnavailable, ""},
	}
}
