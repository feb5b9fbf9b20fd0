-- +goose Up
-- Times are milliseconds since the Unix epoch, 0 for none. wrapped_key is base64, so that one file serves both databases.
CREATE TABLE objects (
    id           TEXT PRIMARY KEY,
    build_id     TEXT NOT NULL,
    attempt      INTEGER NOT NULL,
    kind         INTEGER NOT NULL,
    project      TEXT NOT NULL,
    name         TEXT NOT NULL,
    prefix       TEXT NOT NULL,
    s3_key       TEXT NOT NULL DEFAULT '',
    state        TEXT NOT NULL,
    uploads      INTEGER NOT NULL DEFAULT 0,
    size         BIGINT NOT NULL DEFAULT 0,
    sha256       TEXT NOT NULL DEFAULT '',
    content_type TEXT NOT NULL DEFAULT '',
    wrapped_key  TEXT NOT NULL DEFAULT '',
    created_ms   BIGINT NOT NULL,
    stored_ms    BIGINT NOT NULL DEFAULT 0,
    expires_ms   BIGINT NOT NULL
);
CREATE INDEX objects_by_build ON objects (build_id);
-- The janitor's question; kept rows, which are nearly all, are not in it.
CREATE INDEX objects_by_expiry ON objects (expires_ms) WHERE state <> 'kept';

-- +goose Down
DROP TABLE objects;
