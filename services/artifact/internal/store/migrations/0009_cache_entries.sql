-- +goose Up
-- Entries of the shared cache of builds. size is what was declared, in bytes; the bytes are those of the object. An entry without an object
-- is removed by the sweep.
CREATE TABLE cache_entries (
    object_id TEXT   PRIMARY KEY,
    scope     TEXT   NOT NULL,
    name      TEXT   NOT NULL,
    cache_key TEXT   NOT NULL,
    size      BIGINT NOT NULL,
    used_ms   BIGINT NOT NULL
);
CREATE INDEX cache_entries_by_key ON cache_entries (scope, name, cache_key);
CREATE INDEX cache_entries_by_use ON cache_entries (used_ms, object_id);

-- +goose Down
DROP TABLE cache_entries;
