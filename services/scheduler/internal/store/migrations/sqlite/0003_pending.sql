-- +goose Up
-- The order in which builds are handed out, for each lane and project: what is read to choose the next ones.
CREATE INDEX builds_pending ON builds (pool, platform, project, priority DESC, seq, not_before) WHERE state = 'pending';

-- +goose Down
DROP INDEX builds_pending;
