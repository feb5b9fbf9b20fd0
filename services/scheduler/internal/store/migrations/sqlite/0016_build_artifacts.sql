-- +goose Up
-- The files that a build kept besides its result, as JSON; empty if it kept none.
ALTER TABLE builds ADD COLUMN artifacts TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE builds DROP COLUMN artifacts;
