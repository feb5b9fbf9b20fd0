-- +goose Up
-- Which events have been counted, by their ids: one that is heard again counts once. Kept for longer than the stream keeps events.
CREATE TABLE counted_events (
    id TEXT   NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL
);
CREATE INDEX counted_events_at ON counted_events (at);

-- Figures of a day (UTC) and project. kind: submitted, completed, failed, cancelled, lost.
CREATE TABLE day_counts (
    day     TEXT   NOT NULL,
    project TEXT   NOT NULL,
    kind    TEXT   NOT NULL,
    count   BIGINT NOT NULL,
    PRIMARY KEY (day, project, kind)
);

-- How durations lie, of a day and project, in buckets that grow by a tenth. what: build, wait, or stage:<name>.
CREATE TABLE day_spreads (
    day     TEXT   NOT NULL,
    project TEXT   NOT NULL,
    what    TEXT   NOT NULL,
    bucket  BIGINT NOT NULL,
    count   BIGINT NOT NULL,
    sum_ms  BIGINT NOT NULL,
    PRIMARY KEY (day, project, what, bucket)
);

CREATE TABLE day_workers (
    day       TEXT   NOT NULL,
    project   TEXT   NOT NULL,
    worker_id TEXT   NOT NULL,
    attempts  BIGINT NOT NULL,
    busy_ms   BIGINT NOT NULL,
    PRIMARY KEY (day, project, worker_id)
);

-- +goose Down
DROP TABLE day_workers;
DROP TABLE day_spreads;
DROP TABLE day_counts;
DROP TABLE counted_events;
