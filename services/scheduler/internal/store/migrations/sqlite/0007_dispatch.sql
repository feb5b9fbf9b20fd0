-- +goose Up
-- The tags of fair queueing that a build was dispatched with, and when and how often its hand-out was put on the queue.
ALTER TABLE builds ADD COLUMN vstart REAL NOT NULL DEFAULT 0;
ALTER TABLE builds ADD COLUMN vfinish REAL NOT NULL DEFAULT 0;
ALTER TABLE builds ADD COLUMN offered_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE builds ADD COLUMN offers INTEGER NOT NULL DEFAULT 0;
CREATE INDEX builds_vfinish ON builds (pool, platform, project, vfinish) WHERE vfinish > 0;
CREATE INDEX builds_vstart ON builds (pool, platform, vstart) WHERE vfinish > 0;
-- What "the last builds of a project that completed" is read from, for expected durations.
CREATE INDEX builds_took ON builds (project, platform, seq) WHERE state = 'completed';

-- Settings of projects and pools; a column that is 0 means the farm's default.
CREATE TABLE project_rules (
    project      TEXT    NOT NULL PRIMARY KEY,
    weight       INTEGER NOT NULL DEFAULT 0,
    max_running  INTEGER NOT NULL DEFAULT 0,
    max_priority INTEGER,
    supersede    INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE pool_rules (
    pool        TEXT    NOT NULL PRIMARY KEY,
    max_running INTEGER NOT NULL DEFAULT 0
);

-- The totals of what ended since, in rows that are picked by the build's id: one row made every finish wait for the one before.
CREATE TABLE totals_shards (
    shard    INTEGER NOT NULL PRIMARY KEY,
    ended    INTEGER NOT NULL DEFAULT 0,
    build_ms INTEGER NOT NULL DEFAULT 0
);
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 63)
INSERT INTO totals_shards (shard) SELECT i FROM n;

CREATE INDEX workers_by_name ON workers (name, pool);

-- +goose Down
DROP INDEX workers_by_name;
UPDATE totals SET ended = ended + (SELECT coalesce(sum(ended), 0) FROM totals_shards),
    build_ms = build_ms + (SELECT coalesce(sum(build_ms), 0) FROM totals_shards);
DROP TABLE totals_shards;
DROP TABLE pool_rules;
DROP TABLE project_rules;
DROP INDEX builds_took;
DROP INDEX builds_vstart;
DROP INDEX builds_vfinish;
ALTER TABLE builds DROP COLUMN offers;
ALTER TABLE builds DROP COLUMN offered_at;
ALTER TABLE builds DROP COLUMN vfinish;
ALTER TABLE builds DROP COLUMN vstart;
