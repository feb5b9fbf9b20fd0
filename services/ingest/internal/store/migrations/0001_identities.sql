-- +goose Up
-- Secrets are stored as SHA-256 only.
CREATE TABLE api_keys (
    id         TEXT   NOT NULL PRIMARY KEY,
    hash       TEXT   NOT NULL UNIQUE,
    scopes     TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE worker_credentials (
    worker_id   TEXT   NOT NULL PRIMARY KEY,
    secret_hash TEXT   NOT NULL,
    pool        TEXT   NOT NULL,
    platforms   TEXT   NOT NULL,
    revoked     BIGINT NOT NULL DEFAULT 0,
    joined_at   BIGINT NOT NULL
);

-- +goose Down
DROP TABLE worker_credentials;
DROP TABLE api_keys;
