-- +goose Up
-- Who is logged in to the pages. hash is the cookie's; key_hash the API key's, which decides anew at each request, so that a key
-- that is gone takes its sessions along; with build_id instead it is a session for one build only.
CREATE TABLE sessions (
    hash       TEXT PRIMARY KEY,
    key_hash   TEXT NOT NULL DEFAULT '',
    build_id   TEXT NOT NULL DEFAULT '',
    expires_ms BIGINT NOT NULL
);
CREATE INDEX sessions_by_expiry ON sessions (expires_ms);

-- +goose Down
DROP TABLE sessions;
