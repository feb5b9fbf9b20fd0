-- +goose Up
-- The labels that a build's worker needs, as KEY=VALUE by comma; empty if any worker will do.
ALTER TABLE builds ADD COLUMN requires TEXT NOT NULL DEFAULT '';
-- Builds of each set of requirements are chosen on their own, so that none waits behind one whose worker is missing.
CREATE INDEX builds_pending_requires ON builds (pool, platform, requires, project, priority DESC, seq, not_before) WHERE state = 'pending';
-- Whether the worker understands offers that are addressed to it.
ALTER TABLE workers ADD COLUMN offers BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE workers DROP COLUMN offers;
DROP INDEX builds_pending_requires;
ALTER TABLE builds DROP COLUMN requires;
