package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"
)

var (
	// ErrNotFound says that there is no object under the key.
	ErrNotFound = errors.New("object not found")
	// ErrTooLarge says that the content is larger than the caller's limit.
	ErrTooLarge = errors.New("object too large")
	// ErrNoSpace says that the store's disk or quota is full.
	ErrNoSpace = errors.New("object store is full")
	// ErrCorrupt says that the bytes read are not those that were stored.
	ErrCorrupt = errors.New("object is corrupt")
	// ErrNoUpload says that an upload in pieces is over, one way or the other.
	ErrNoUpload = errors.New("no such upload")
	// ErrStalled says that no byte moved for Config.StallTimeout.
	ErrStalled = errors.New("transfer stalled")
	// ErrSizeMismatch says that a source ended before or after its declared size.
	ErrSizeMismatch = errors.New("content differs from its declared size")
	// ErrRange says that a read starts past the end of the object.
	ErrRange = errors.New("range not satisfiable")
)

// Error codes beside the HTTP status: a HEAD answer has no code, and some
// stores answer a full disk with a plain 500 or 400.
//
//nolint:gochecknoglobals // a constant table
var sentinelByCode = map[string]error{
	minio.NoSuchKey:                  ErrNotFound,
	"NotFound":                       ErrNotFound,
	"InsufficientStorage":            ErrNoSpace,
	"QuotaExceeded":                  ErrNoSpace,
	"XMinioStorageFull":              ErrNoSpace,
	"XMinioAdminBucketQuotaExceeded": ErrNoSpace,
	"EntityTooLarge":                 ErrTooLarge,
	"InvalidRange":                   ErrRange,
	minio.NoSuchUpload:               ErrNoUpload,
}

// describe wraps a store's answer with what was being done and, where it is
// recognised, a sentinel. A cancelled context's cause replaces the client's
// bare "context canceled".
func describe(ctx context.Context, doing, key string, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%w)", cause, err)
	}
	if s := sentinel(err); s != nil && !errors.Is(err, s) {
		err = fmt.Errorf("%w: %w", s, err)
	}
	return fmt.Errorf("%s %q: %w", doing, key, err)
}

func sentinel(err error) error {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return nil
	}
	if s, ok := sentinelByCode[answer.Code]; ok {
		return s
	}
	switch answer.StatusCode {
	case http.StatusInsufficientStorage:
		return ErrNoSpace
	case http.StatusRequestedRangeNotSatisfiable:
		return ErrRange
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return ErrAway
	}
	return nil
}

// ambiguous reports whether a request that failed with err may have been
// carried out all the same: the answer was lost, or was a server's fault.
func ambiguous(err error) bool {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) || answer.StatusCode == 0 {
		return true
	}
	return answer.StatusCode >= http.StatusInternalServerError &&
		answer.StatusCode != http.StatusInsufficientStorage
}

var errShort = fmt.Errorf("%w: %w", ErrSizeMismatch, io.ErrUnexpectedEOF)
