-- +goose Up
-- What must be the same in a later submit so that it may get this build, and what a completed build was made with. The keys are digests.
-- Expired builds take their rows along.
CREATE TABLE build_keys (
    build_id    TEXT   NOT NULL PRIMARY KEY REFERENCES builds (id) ON DELETE CASCADE,
    key         TEXT   NOT NULL,
    native_key  TEXT   NOT NULL,
    simulator   INTEGERNOT NULL,
    machine     TEXT   NOT NULL DEFAULT '',
    environment TEXT   NOT NULL DEFAULT '',
    variables   TEXT   NOT NULL DEFAULT '',
    fingerprint TEXT   NOT NULL DEFAULT '',
    reuses      INTEGERNOT NULL DEFAULT 0,
    reused_at   INTEGERNOT NULL DEFAULT 0
);
CREATE INDEX build_keys_key ON build_keys (key);
CREATE INDEX build_keys_fingerprint ON build_keys (fingerprint) WHERE fingerprint <> '';

-- The last submits that got a build instead of one of their own.
CREATE TABLE build_reuses (
    id         TEXT   NOT NULL PRIMARY KEY,
    build_id   TEXT   NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    at         INTEGERNOT NULL,
    commit_sha TEXT   NOT NULL,
    branch     TEXT   NOT NULL,
    username   TEXT   NOT NULL
);
CREATE INDEX build_reuses_build ON build_reuses (build_id, at);

-- Keyed digest of what of the machine builds depend on; empty if the worker did not say.
ALTER TABLE workers ADD COLUMN machine TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE workers DROP COLUMN machine;
DROP TABLE build_reuses;
DROP TABLE build_keys;
