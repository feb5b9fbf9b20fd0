package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// Session is what somebody who is logged in may do: what an API key may, or what a build's token is enough for.
type Session struct {
	Scopes  identity.Scopes
	BuildID string
}

// NewSession stores a session under its secret, for the holder of an API key, or of a build's token if buildID is given.
func (s *AccessStore) NewSession(ctx context.Context, secret, key, buildID string, expires time.Time) error {
	keyHash := ""
	if buildID == "" {
		keyHash = identity.Hash(key)
	}
	return exec(ctx, s.db, "begin a session", `INSERT INTO sessions (hash, key_hash, build_id, expires_ms) VALUES ($1, $2, $3, $4)`,
		identity.Hash(secret), keyHash, buildID, expires.UnixMilli())
}

// Session finds a session that has not ended and whose key still holds; build.ErrUnauthorized if there is none such.
func (s *AccessStore) Session(ctx context.Context, secret string, now time.Time) (Session, error) {
	var buildID string
	var words sql.NullString
	err := s.db.Read().QueryRowContext(ctx, `SELECT s.build_id, k.scopes FROM sessions s LEFT JOIN api_keys k ON k.hash = s.key_hash
		WHERE s.hash = $1 AND s.expires_ms > $2`, identity.Hash(secret), now.UnixMilli()).Scan(&buildID, &words)
	if errors.Is(err, sql.ErrNoRows) || err == nil && buildID == "" && !words.Valid {
		return Session{}, build.ErrUnauthorized
	}
	if err != nil {
		return Session{}, fmt.Errorf("look up a session: %w", err)
	}
	if buildID != "" {
		return Session{BuildID: buildID}, nil
	}
	scopes, err := identity.ParseScopes(words.String)
	return Session{Scopes: scopes}, err
}

// EndSession forgets a session; one that is not there is no error.
func (s *AccessStore) EndSession(ctx context.Context, secret string) error {
	return exec(ctx, s.db, "end a session", `DELETE FROM sessions WHERE hash = $1`, identity.Hash(secret))
}

// SweepSessions forgets those that ended before t.
func (s *AccessStore) SweepSessions(ctx context.Context, t time.Time) error {
	return exec(ctx, s.db, "sweep sessions", `DELETE FROM sessions WHERE expires_ms < $1`, t.UnixMilli())
}
