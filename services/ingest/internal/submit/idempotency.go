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
	// KeyHeader names a submit, so that its repeat is the same build.
	KeyHeader = "Idempotency-Key"
	// ReplayHeader marks the answer to a repeat.
	ReplayHeader = "Idempotent-Replayed"
	// maxKey is in bytes.
	maxKey = 255
	// KeyTTL is how long a repeat is known.
	KeyTTL = 24 * time.Hour
)

// named is a submit with an idempotency key: its row, and the build that it is a repeat of, if it is one.
type named struct {
	store.Reservation

	repeats *schedulerv1.Build
}

// repeatWait bounds how long a repeat waits for a first submit that lives. It is below the 30 s after which clients give up and
// the minute after which proxies do.
const repeatWait = 25 * time.Second

// reserve claims the idempotency key of a submit before anything of it is stored. It fixes the build's id, so that a repeat
// finds the build whatever happens to this gateway. A repeat waits for a first submit that is still under way, and takes it
// over if the process that worked on it is dead. Submits without a key are never repeats. The caller must call s.leave.
func (v *Service) reserve(r *http.Request, s *submission) error {
	name := r.Header.Get(KeyHeader)
	if name == "" {
		return nil
	}
	for _, c := range []byte(name) {
		if c < ' ' || c > '~' || len(name) > maxKey {
			return httpx.Refuse(build.ErrInvalid, "The %s is not 1 to %d printable characters", KeyHeader, maxKey)
		}
	}
	owner, err := v.ownerOf(r)
	if err != nil {
		return err
	}
	s.leave = v.presence.enter(s.BuildID)
	n, err := v.claimKey(r.Context(), s, store.Reservation{
		Owner: owner, Name: name, BuildID: s.BuildID, Holder: v.presence.id, CreatedAt: time.Now(),
	})
	s.named = n
	return err
}

// claimKey inserts the row or finds out what became of the one that is there.
func (v *Service) claimKey(ctx context.Context, s *submission, want store.Reservation) (*named, error) {
	var first *watch
	for deadline := time.Now().Add(repeatWait); ; {
		stands, err := v.Store.Reserve(ctx, want)
		if err != nil {
			return nil, errors.Join(build.ErrUnavailable, err)
		}
		if stands.BuildID == want.BuildID {
			return &named{Reservation: stands}, nil
		}
		if stands.Fingerprint == "" {
			if first == nil || first.holder != stands.Holder || first.buildID != stands.BuildID {
				first = v.presence.watch(stands.BuildID, stands.Holder, stands.CreatedAt)
			}
			alive, err := first.alive(ctx)
			if err != nil {
				return nil, errors.Join(build.ErrUnavailable, err)
			}
			if alive {
				if time.Now().After(deadline) {
					return nil, httpx.Refuse(httpapi.ErrInProgress, "The first submit with this %s is still under way. Repeat it to get its answer", KeyHeader)
				}
				if err := backoff.Sleep(ctx, lookEvery); err != nil {
					return nil, fmt.Errorf("wait for the first submit: %w", err)
				}
				continue
			}
		}
		if n, err := v.succeed(ctx, s, stands); n != nil || err != nil {
			return n, err
		}
	}
}

// succeed makes this submit the successor of one that has ended: its repeat if there is a build, else the one that goes on in
// its place. It returns nil if another repeat was faster.
func (v *Service) succeed(ctx context.Context, s *submission, stands store.Reservation) (*named, error) {
	b, err := v.Farm.Build(ctx, stands.BuildID)
	if err == nil {
		return &named{Reservation: stands, repeats: b}, nil
	}
	if !errors.Is(err, build.ErrNotFound) {
		return nil, err
	}
	taken, err := v.Store.TakeOver(ctx, stands, v.presence.id)
	if err != nil {
		return nil, errors.Join(build.ErrUnavailable, err)
	}
	if !taken {
		return nil, nil
	}
	s.leave()
	s.BuildID, s.leave = stands.BuildID, v.presence.enter(stands.BuildID)
	stands.Holder, stands.Fingerprint = v.presence.id, ""
	v.Log.InfoContext(ctx, "submit taken over", "build_id", s.BuildID, "reason", "the process of the first submit is gone")
	return &named{Reservation: stands}, nil
}

// ownerOf is who may repeat a submit: the holder of the key, or of the build's token.
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

// replay returns the build of which this submit is a repeat, nil if it is none. The same key for something else is refused.
func (s *submission) replay() (*schedulerv1.Build, error) {
	if s.named == nil || s.named.repeats == nil {
		return nil, nil // no repeat is the normal answer
	}
	// The fingerprint is missing if the first submit's gateway died before it could record it.
	f := s.named.Fingerprint
	if f != "" && f != s.fingerprint() || f == "" && !s.sameContent(s.named.repeats) {
		return nil, httpx.Refuse(httpapi.ErrKeyReused, "The %s was used for another submit", KeyHeader)
	}
	return s.named.repeats, nil
}

// sameContent reports whether the build has what this submit brings.
func (s *submission) sameContent(b *schedulerv1.Build) bool {
	return b.GetSource().GetSha256() == s.source.GetSha256() && b.GetCerts().GetSha256() == s.certs.GetSha256() && s.sameSettings(b)
}

// replayAfter answers a submit that the scheduler refused since the build exists: the process that was taken for dead has
// submitted it meanwhile, or this one was taken for dead. It returns nil if that is not so.
func (v *Service) replayAfter(ctx context.Context, s *submission, refused error) *schedulerv1.Build {
	if s.named == nil || !errors.Is(refused, build.ErrInvalid) {
		return nil
	}
	b, err := v.Farm.Build(context.WithoutCancel(ctx), s.BuildID)
	if err != nil || s.retryOf != "" && b.GetRetryOf() != s.retryOf || s.retryOf == "" && !s.sameContent(b) {
		return nil
	}
	return b
}

// fingerprint tells what is submitted from anything else.
func (s *submission) fingerprint() string {
	data, err := json.Marshal([]any{s.fields, s.retryOf, s.source.GetSha256(), s.certs.GetSha256()})
	if err != nil { // strings always marshal
		panic(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// settle ends a submit with a key: it has become its build, or nothing. If nobody knows, the row stays and the next repeat
// finds out.
func (v *Service) settle(ctx context.Context, s *submission, err error) {
	if s.leave != nil {
		defer s.leave()
	}
	if s.named == nil || s.named.repeats != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	switch {
	case err == nil:
		err = v.Store.Settle(ctx, s.named.Reservation, s.fingerprint())
	case s.Asked && errors.Is(err, build.ErrUnavailable):
		return
	default:
		err = v.Store.Release(ctx, s.named.Reservation)
	}
	if err != nil {
		v.Log.WarnContext(ctx, "idempotency key not settled", "build_id", s.BuildID, "err", err)
	}
}
