-- +goose Up
ALTER TABLE workers ADD COLUMN polls INTEGER NOT NULL DEFAULT 0;
CREATE INDEX builds_by_state ON builds (state, seq);
CREATE INDEX builds_by_project ON builds (project, seq);
CREATE INDEX builds_by_worker ON builds (worker_id, seq);
CREATE INDEX builds_ended ON builds (finished_at, state, assigned_at) WHERE state IN ('completed', 'failed');
CREATE INDEX attempts_by_worker ON attempts (worker_id, outcome);

-- +goose Down
DROP INDEX attempts_by_worker;
DROP INDEX builds_ended;
DROP INDEX builds_by_worker;
DROP INDEX builds_by_project;
DROP INDEX builds_by_state;
ALTER TABLE workers DROP COLUMN polls;
