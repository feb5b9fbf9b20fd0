-- +goose Up
-- How long builds are kept. The row of the empty project is the farm's and holds for every project without a row of its own.
-- Zero is no limit. inherits: the project's own policy was removed, and the farm's holds from effective_at on.
CREATE TABLE retention_policies (
    project          TEXT    NOT NULL PRIMARY KEY,
    max_age_ms       INTEGER NOT NULL,
    max_builds       INTEGER NOT NULL,
    max_bytes        INTEGER NOT NULL,
    farm_bytes       INTEGER NOT NULL,
    keep_last        INTEGER NOT NULL,
    keep_last_age_ms INTEGER NOT NULL,
    worker_age_ms    INTEGER NOT NULL,
    inherits         INTEGER NOT NULL,
    set_at           INTEGER NOT NULL,
    effective_at     INTEGER NOT NULL
);

-- One row. seed is 1 in a farm that has no builds and no workers yet: it gets the configuration's default policy.
-- holder sweeps until held_until; the rest is what the last sweep did.
CREATE TABLE retention_state (
    id         INTEGER PRIMARY KEY,
    seed       INTEGER NOT NULL,
    holder     TEXT    NOT NULL DEFAULT '',
    held_until INTEGER NOT NULL DEFAULT 0,
    began_at   INTEGER NOT NULL DEFAULT 0,
    ended_at   INTEGER NOT NULL DEFAULT 0,
    builds     INTEGER NOT NULL DEFAULT 0,
    bytes      INTEGER NOT NULL DEFAULT 0,
    workers    INTEGER NOT NULL DEFAULT 0,
    error      TEXT    NOT NULL DEFAULT ''
);
INSERT INTO retention_state (id, seed) SELECT 1,
    CASE WHEN EXISTS (SELECT 1 FROM builds) OR EXISTS (SELECT 1 FROM workers) THEN 0 ELSE 1 END;

CREATE TABLE build_pins (
    build_id  TEXT    NOT NULL PRIMARY KEY REFERENCES builds (id),
    pinned_at INTEGER NOT NULL,
    note      TEXT    NOT NULL
);

-- +goose Down
DROP TABLE build_pins;
DROP TABLE retention_state;
DROP TABLE retention_policies;
