package submit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/auth"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

const (
	// KeyHeader is the idempotency key of a submit.
	KeyHeader = "Idempotency-Key"
	// ReplayHeader marks the response to a repeat.
	ReplayHeader = "Idempotent-Replayed"
	// maxKey is in bytes.
	maxKey = 255
	// KeyTTL is how long a key is remembered.
	KeyTTL = 24 * time.Hour
)

// reservation is the row of a submit with an idempotency key and, if it is a repeat, the original
// build.
type reservation struct {
	store.Reservation

	original *schedulerv1.Build
}

// maxRepeatWait bounds how long a repeat waits for a first submit in progress. Clients give up
// after 30 s, proxies after a minute.
const maxRepeatWait = 25 * time.Second

// reserve reserves the idempotency key of a submit before anything of it is stored. It fixes the
// build's id, so that a repeat finds the build whatever happens to this gateway. A repeat waits for
// a first submit in progress, and takes over from one whose process is dead. Submits without a key
// are never repeats. The caller must call s.release.
func (v *Service) reserve(r *http.Request, s *submission) error {
	name := r.Header.Get(KeyHeader)
	if name == "" {
		return nil
	}
	for _, c := range []byte(name) {
		if c < ' ' || c > '~' || len(name) > maxKey {
			return httpx.Refuse(build.ErrInvalid, "%s must be 1 to %d printable characters", KeyHeader, maxKey)
		}
	}
	owner, err := v.ownerOf(r)
	if err != nil {
		return err
	}
	s.release = v.lease.hold(s.BuildID)
	n, err := v.claimKey(r.Context(), s, store.Reservation{
		Owner: owner, Name: name, BuildID: s.BuildID, Holder: v.lease.id, CreatedAt: time.Now(),
	})
	s.reserved = n
	return err
}

// claimKey inserts the row, or determines the outcome of the submit that has the row.
func (v *Service) claimKey(ctx context.Context, s *submission, want store.Reservation) (*reservation, error) {
	var first *holderWatch
	for deadline := time.Now().Add(maxRepeatWait); ; {
		stored, err := v.Store.Reserve(ctx, want)
		if err != nil {
			return nil, errors.Join(build.ErrUnavailable, err)
		}
		if stored.BuildID == want.BuildID {
			return &reservation{Reservation: stored}, nil
		}
		if stored.Fingerprint == "" {
			if first == nil || first.holder != stored.Holder || first.buildID != stored.BuildID {
				first = v.lease.watch(stored.BuildID, stored.Holder, stored.CreatedAt)
			}
			alive, err := first.isAlive(ctx)
			if err != nil {
				return nil, errors.Join(build.ErrUnavailable, err)
			}
			if alive {
				if time.Now().After(deadline) {
					return nil, httpx.Refuse(httpapi.ErrInProgress, "The first submit with this %s is still in progress. Repeat it later to get its answer", KeyHeader)
				}
				if err := backoff.Sleep(ctx, pollInterval); err != nil {
					return nil, fmt.Errorf("wait for the first submit: %w", err)
				}
				continue
			}
		}
		if n, err := v.takeOver(ctx, s, stored); n != nil || err != nil {
			return n, err
		}
	}
}

// takeOver makes this submit the repeat of one that has become a build, or continues one whose
// process is dead. It returns nil if another repeat was faster.
func (v *Service) takeOver(ctx context.Context, s *submission, stored store.Reservation) (*reservation, error) {
	b, err := v.Farm.Build(ctx, stored.BuildID)
	if err == nil {
		return &reservation{Reservation: stored, original: b}, nil
	}
	if !errors.Is(err, build.ErrNotFound) {
		return nil, err
	}
	taken, err := v.Store.TakeOver(ctx, stored, v.lease.id)
	if err != nil {
		return nil, errors.Join(build.ErrUnavailable, err)
	}
	if !taken {
		return nil, nil
	}
	s.release()
	s.BuildID, s.release = stored.BuildID, v.lease.hold(stored.BuildID)
	stored.Holder, stored.Fingerprint = v.lease.id, ""
	v.Log.InfoContext(ctx, "submit taken over", "build_id", s.BuildID, "reason", "first gateway stopped")
	return &reservation{Reservation: stored}, nil
}

// ownerOf returns who may repeat a submit: the holder of the API key, or of the build's token.
func (v *Service) ownerOf(r *http.Request) (string, error) {
	if key := auth.KeyOf(r); key != "" {
		id, err := v.Store.KeyID(r.Context(), key)
		if err != nil {
			return "", errors.Join(build.ErrUnavailable, err)
		}
		return "key " + id, nil
	}
	return "token of " + r.URL.Path, nil
}

// replay returns the build that this submit repeats, nil if it is no repeat. It returns
// httpapi.ErrKeyReused if the key belongs to a different submit.
func (v *Service) replay(ctx context.Context, s *submission) (*schedulerv1.Build, error) {
	if s.reserved == nil || s.reserved.original == nil {
		return nil, nil // no repeat is the normal answer
	}
	same := s.reserved.Fingerprint == s.fingerprint()
	if s.reserved.Fingerprint == "" { // the first submit's gateway died before it could record one
		var err error
		if same, err = v.sameContent(ctx, s, s.reserved.original); err != nil {
			return nil, err
		}
	}
	if !same {
		return nil, httpx.Refuse(httpapi.ErrKeyReused, "This %s belongs to another submit. Use a new key", KeyHeader)
	}
	return s.reserved.original, nil
}

// sameContent reports whether the build has the files and settings of this submit.
func (v *Service) sameContent(ctx context.Context, s *submission, b *schedulerv1.Build) (bool, error) {
	if b.GetSource().GetSha256() != s.source.GetSha256() || b.GetCerts().GetSha256() != s.certs.GetSha256() {
		return false, nil
	}
	return v.sameSettings(ctx, s, b)
}

// replayAfter returns the build of a submit that the scheduler refused since the build exists: a
// process that counted as dead has submitted it meanwhile, or this one counted as dead. It returns
// nil if there is no such build.
func (v *Service) replayAfter(ctx context.Context, s *submission, refused error) *schedulerv1.Build {
	if s.reserved == nil || !errors.Is(refused, build.ErrInvalid) {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	b, err := v.Farm.Build(ctx, s.BuildID)
	if err != nil {
		return nil
	}
	same := b.GetRetryOf() == s.retryOf
	if s.retryOf == "" {
		same, err = v.sameContent(ctx, s, b)
	}
	if err != nil || !same {
		return nil
	}
	return b
}

// fingerprint identifies what is submitted.
func (s *submission) fingerprint() string {
	data, err := json.Marshal([]any{s.fields, s.retryOf, s.source.GetSha256(), s.certs.GetSha256()})
	if err != nil { // strings always marshal
		panic(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// settleKey ends a submit with a key: it has become its build, or nothing. If that is unknown, the
// row stays and the next repeat finds out.
func (v *Service) settleKey(ctx context.Context, s *submission, err error) {
	if s.release != nil {
		defer s.release()
	}
	if s.reserved == nil || s.reserved.original != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	switch {
	case err == nil:
		err = v.Store.Settle(ctx, s.reserved.Reservation, s.fingerprint())
	case s.Requested && errors.Is(err, build.ErrUnavailable):
		return
	default:
		err = v.Store.Release(ctx, s.reserved.Reservation)
	}
	if err != nil {
		v.Log.WarnContext(ctx, "settle idempotency key failed", "build_id", s.BuildID, "err", err)
	}
}
