-- +goose Up
-- The gateway process that works on a submit, so that a repeat can tell a living one from a dead one. Rows of the version
-- before have no holder.
ALTER TABLE idempotency ADD COLUMN holder TEXT NOT NULL DEFAULT '';

-- Gateway processes that work on submits. beat grows while the process lives; who watches it uses its own clock.
CREATE TABLE submit_holders (
    id    TEXT   NOT NULL PRIMARY KEY,
    beat  BIGINT NOT NULL,
    at_ms BIGINT NOT NULL
);

-- Submits of API v1 from just before the scheduler is asked until the answer is delivered. A row of a dead holder is a submit
-- of which nobody knows whether it was answered. It is no row of unanswered_submits, since those are rolled back.
CREATE TABLE submits_in_flight (
    build_id      TEXT   NOT NULL PRIMARY KEY,
    key_id        TEXT   NOT NULL,
    source_sha256 TEXT   NOT NULL,
    certs_sha256  TEXT   NOT NULL,
    platform      TEXT   NOT NULL,
    since         BIGINT NOT NULL,
    holder        TEXT   NOT NULL
);
CREATE INDEX submits_in_flight_source ON submits_in_flight (source_sha256, key_id);
CREATE INDEX submits_in_flight_since ON submits_in_flight (since);

-- +goose Down
DROP TABLE submits_in_flight;
DROP TABLE submit_holders;
ALTER TABLE idempotency DROP COLUMN holder;
