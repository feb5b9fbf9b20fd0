-- +goose Up
-- A submit that names itself: the build that it became, so that its repeat is the same one.
CREATE TABLE idempotency (
    owner       TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    build_id    TEXT   NOT NULL,
    fingerprint TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (owner, name)
);
CREATE INDEX idempotency_at ON idempotency (created_at);

-- +goose Down
DROP TABLE idempotency;
