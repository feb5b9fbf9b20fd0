-- +goose Up
ALTER TABLE workers ADD COLUMN polls INTEGER NOT NULL DEFAULT 0;
CREATE INDEX builds_by_state ON builds (state, seq);
CREATE INDEX builds_by_project ON builds (project, seq);
CREATE INDEX builds_by_worker ON builds (worker_id, seq);
CREATE INDEX builds_completed ON builds (finished_at) WHERE state = 'completed';
CREATE INDEX attempts_by_worker ON attempts (worker_id, outcome);

-- The builds that completed or failed, and how long they took from their assignment, in all: one row, kept by each end.
CREATE TABLE totals (
    id       INTEGER PRIMARY KEY,
    ended    BIGINT NOT NULL,
    build_ms BIGINT NOT NULL
);
INSERT INTO totals (id, ended, build_ms)
    SELECT 1, count(*), coalesce(sum(CASE WHEN assigned_at > 0 THEN finished_at - assigned_at ELSE 0 END), 0)
    FROM builds WHERE state IN ('completed', 'failed');

-- +goose Down
DROP TABLE totals;
DROP INDEX attempts_by_worker;
DROP INDEX builds_completed;
DROP INDEX builds_by_worker;
DROP INDEX builds_by_project;
DROP INDEX builds_by_state;
ALTER TABLE workers DROP COLUMN polls;
