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

// Session has the rights of a web login: the scopes of an API key, or access to one build.
type Session struct {
	Scopes  identity.Scopes
	BuildID string
}

// NewSession stores a session of an API key, or of the build buildID if it is not empty.
func (s *AccessStore) NewSession(ctx context.Context, secret, key, buildID string, expires time.Time) error {
	keyHash := ""
	if buildID == "" {
		keyHash = identity.Hash(key)
	}
	return exec(ctx, s.db, "begin a session", `INSERT INTO sessions (hash, key_hash, build_id, expires_ms) VALUES ($1, $2, $3, $4)`,
		identity.Hash(secret), keyHash, buildID, expires.UnixMilli())
}

// Session returns a session that has not expired and whose key still exists. It returns
// build.ErrUnauthorized if there is none.
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

// EndSession deletes a session, if it exists.
func (s *AccessStore) EndSession(ctx context.Context, secret string) error {
	return exec(ctx, s.db, "end a session", `DELETE FROM sessions WHERE hash = $1`, identity.Hash(secret))
}

// SweepSessions deletes sessions that expired before t.
func (s *AccessStore) SweepSessions(ctx context.Context, t time.Time) error {
	return exec(ctx, s.db, "sweep sessions", `DELETE FROM sessions WHERE expires_ms < $1`, t.UnixMilli())
}
