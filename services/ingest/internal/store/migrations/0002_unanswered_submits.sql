-- +goose Up
-- Builds that were submitted while the answer could not be written: their submitter does not know them. The first repeat of
-- the same submit takes the row; if none comes in time, the build is rolled back.
CREATE TABLE unanswered_submits (
    build_id      TEXT   NOT NULL PRIMARY KEY,
    key_id        TEXT   NOT NULL,
    source_sha256 TEXT   NOT NULL,
    certs_sha256  TEXT   NOT NULL,
    platform      TEXT   NOT NULL,
    since         BIGINT NOT NULL,
    -- 1 from the moment that no repeat may take it any more.
    overdue       BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX unanswered_submits_source ON unanswered_submits (source_sha256, key_id);
CREATE INDEX unanswered_submits_since ON unanswered_submits (since);

-- +goose Down
DROP TABLE unanswered_submits;
