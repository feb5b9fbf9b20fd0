package grant

import (
	"context"
	"regexp"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/cache"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/catalog"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/ticket"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

var (
	cacheName = regexp.MustCompile(`^[a-z]{1,32}$`)
	cacheKey  = regexp.MustCompile(`^[0-9a-f]{16,64}$`)
)

func validCache(req *artifactv1.WorkerGrantRequest) error {
	switch {
	case !cacheName.MatchString(req.GetCacheName()):
		return httpx.Refuse(build.ErrInvalid, "a cache entry needs a name of 1 to 32 small letters (got %.40q)", req.GetCacheName())
	case !cacheKey.MatchString(req.GetCacheKey()):
		return httpx.Refuse(build.ErrInvalid, "a cache entry needs a key of 16 to 64 hexadecimal digits (got %.80q)", req.GetCacheKey())
	case req.GetSize() < 0, !req.GetCacheWrite() && req.GetSize() > 0, req.GetSize() > 0 && !ValidSHA256(req.GetSha256()):
		return httpx.Refuse(build.ErrInvalid, "a cache entry to write needs its size in bytes and its SHA-256 in lower-case hexadecimal")
	}
	return nil
}

// cacheGrant answers about an entry of the cache. Whose entry it is follows from the build, as the scheduler knows it.
func (g *Grants) cacheGrant(
	ctx context.Context, b *schedulerv1.Build, req *artifactv1.WorkerGrantRequest,
) (out *artifactv1.Grant, answer *artifactv1.CacheAnswer, err error) {
	of := cache.Build{Project: b.GetProject(), Branch: b.GetOrigin().GetBranch()}
	answer = &artifactv1.CacheAnswer{Enabled: g.cache.Enabled(of)}
	name, key := req.GetCacheName(), req.GetCacheKey()
	switch {
	case !answer.GetEnabled():
		return nil, answer, nil
	case req.GetCacheWrite() && req.GetSize() == 0:
		answer.Present, err = g.cache.Has(ctx, of, name, key)
		return nil, answer, err
	case req.GetCacheWrite():
		o, err := g.cache.Admit(ctx, of, name, key, req.GetSize())
		if err == nil {
			out, err = g.Sign(o, ticket.Ticket{Op: ticket.Put, MaxBytes: req.GetSize(), Size: req.GetSize(), SHA256: req.GetSha256()})
		}
		return out, answer, err
	}
	o, trusted, err := g.cache.Find(ctx, of, name, key)
	if catalog.IsMissing(err) {
		return nil, answer, nil
	}
	if err != nil {
		return nil, answer, err
	}
	answer.Present, answer.Trusted = true, trusted
	out, err = g.Sign(o, ticket.Ticket{Op: ticket.Get, Size: o.Size, SHA256: o.SHA256})
	return out, answer, err
}
