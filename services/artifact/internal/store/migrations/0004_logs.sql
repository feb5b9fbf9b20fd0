-- +goose Up
-- The logs of builds that have ended. due_ms is when somebody has to look at it again, 0 for never; through_seq is up to which
-- place of the stream the archive goes; removed_ms is when the archive was removed by age.
CREATE TABLE build_logs (
    build_id    TEXT PRIMARY KEY,
    ended_ms    BIGINT NOT NULL,
    due_ms      BIGINT NOT NULL,
    object_id   TEXT NOT NULL DEFAULT '',
    lines       BIGINT NOT NULL DEFAULT 0,
    through_seq BIGINT NOT NULL DEFAULT 0,
    archived_ms BIGINT NOT NULL DEFAULT 0,
    removed_ms  BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX build_logs_by_due ON build_logs (due_ms) WHERE due_ms > 0;
-- For a shorter policy of retention, which makes rows due that were not yet.
CREATE INDEX build_logs_by_age ON build_logs (ended_ms) WHERE object_id <> '';

-- +goose Down
DROP TABLE build_logs;
