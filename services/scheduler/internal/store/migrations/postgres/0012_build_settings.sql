-- +goose Up
-- What of its source a build is made of, as JSON; empty if the submit said nothing.
ALTER TABLE builds ADD COLUMN settings TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE builds DROP COLUMN settings;
