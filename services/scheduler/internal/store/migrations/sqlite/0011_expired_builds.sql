-- +goose Up
-- What is left of a build that has expired. cleaned_at is 0 while another service may still hold something of it.
CREATE TABLE expired_builds (
    id           TEXT    NOT NULL PRIMARY KEY,
    seq          INTEGER NOT NULL,
    project      TEXT    NOT NULL,
    platform     TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    worker_id    TEXT    NOT NULL,
    submitted_at INTEGER NOT NULL,
    assigned_at  INTEGER NOT NULL,
    finished_at  INTEGER NOT NULL,
    expired_at   INTEGER NOT NULL,
    rule         TEXT    NOT NULL,
    policy       TEXT    NOT NULL,
    bytes        INTEGER NOT NULL,
    cleaned_at   INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX expired_builds_uncleaned ON expired_builds (expired_at, id) WHERE cleaned_at = 0;
CREATE INDEX expired_builds_cleaned ON expired_builds (expired_at, id) WHERE cleaned_at > 0;
CREATE INDEX expired_builds_finished ON expired_builds (finished_at) WHERE state = 'completed';

-- How the attempts of expired builds ended, by worker.
CREATE TABLE expired_attempts (
    worker_id TEXT    NOT NULL PRIMARY KEY,
    completed INTEGER NOT NULL,
    failed    INTEGER NOT NULL
);

-- +goose Down
DROP TABLE expired_attempts;
DROP TABLE expired_builds;
