-- +goose Up
CREATE TABLE api_keys (
    hash       TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    scope      TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE workers (
    id          TEXT   NOT NULL PRIMARY KEY,
    secret_hash TEXT   NOT NULL,
    pool        TEXT   NOT NULL,
    platforms   TEXT   NOT NULL,
    revoked     BIGINT NOT NULL DEFAULT 0,
    joined_at   BIGINT NOT NULL
);

-- +goose Down
DROP TABLE workers;
DROP TABLE api_keys;
