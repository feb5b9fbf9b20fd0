-- +goose Up
-- Events of one build may be heard in another order than they were published in: by two replicas, or when
-- one is delivered again. seq is the place in the stream of what a lease's row says; ended_leases
-- remembers which attempts are over, for as long as a late word of one may come.
ALTER TABLE leases ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;
CREATE TABLE ended_leases (
    build_id TEXT PRIMARY KEY,
    attempt  BIGINT NOT NULL,
    at       BIGINT NOT NULL
);
CREATE INDEX ended_leases_at ON ended_leases (at);

-- +goose Down
DROP TABLE ended_leases;
ALTER TABLE leases DROP COLUMN seq;
