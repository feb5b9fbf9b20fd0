-- +goose Up
-- The build whose result gets a new JavaScript bundle in place of a native build; empty for a native build.
ALTER TABLE builds ADD COLUMN repack_from TEXT NOT NULL DEFAULT '';
-- The native fingerprint of a completed build whose result can be repacked.
ALTER TABLE builds ADD COLUMN native_fingerprint TEXT NOT NULL DEFAULT '';
CREATE INDEX builds_repack_from ON builds (repack_from) WHERE repack_from <> '';
CREATE INDEX builds_repackable ON builds (project, platform, seq) WHERE native_fingerprint <> '';

-- +goose Down
DROP INDEX builds_repackable;
DROP INDEX builds_repack_from;
ALTER TABLE builds DROP COLUMN native_fingerprint;
ALTER TABLE builds DROP COLUMN repack_from;
