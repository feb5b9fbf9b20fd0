-- +goose Up
-- Samples that could not be, and were not stored.
ALTER TABLE usage_totals ADD COLUMN dropped BIGINT NOT NULL DEFAULT 0;
-- When telemetry was last heard of an attempt: a sign of life besides its heartbeat.
ALTER TABLE leases ADD COLUMN heard BIGINT NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN project TEXT NOT NULL DEFAULT '';
-- 1 while a lease whose key is gone is waited for because its project and stage are known to be silent for longer.
ALTER TABLE leases ADD COLUMN extended BIGINT NOT NULL DEFAULT 0;

-- What samples become when they are old: sums by the minute, so that means can be drawn over any number of them.
CREATE TABLE sample_minutes (
    build_id          TEXT   NOT NULL,
    attempt           BIGINT NOT NULL,
    minute            BIGINT NOT NULL,
    stage             TEXT   NOT NULL,
    samples           BIGINT NOT NULL,
    memory_unreliable INTEGER NOT NULL,
    cpu_sum           DOUBLE PRECISION NOT NULL,
    cpu_count         BIGINT NOT NULL,
    cpu_max           DOUBLE PRECISION,
    memory_sum        DOUBLE PRECISION NOT NULL,
    memory_count      BIGINT NOT NULL,
    memory_max        DOUBLE PRECISION,
    disk_sum          DOUBLE PRECISION NOT NULL,
    disk_count        BIGINT NOT NULL,
    processes_sum     DOUBLE PRECISION NOT NULL,
    processes_count   BIGINT NOT NULL,
    PRIMARY KEY (build_id, attempt, minute, stage)
);
CREATE INDEX sample_minutes_at ON sample_minutes (minute);

-- How long signs of life of a project's builds were apart, by stage: counts in buckets that grow by a fifth.
CREATE TABLE silences (
    project TEXT   NOT NULL,
    stage   TEXT   NOT NULL,
    bucket  BIGINT NOT NULL,
    count   DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (project, stage, bucket)
);

-- +goose Down
DROP TABLE silences;
DROP TABLE sample_minutes;
ALTER TABLE leases DROP COLUMN extended;
ALTER TABLE leases DROP COLUMN project;
ALTER TABLE leases DROP COLUMN heard;
ALTER TABLE usage_totals DROP COLUMN dropped;
