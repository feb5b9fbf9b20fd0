-- +goose Up
-- Which commit of which repository a build is of, if its submitter said.
ALTER TABLE builds ADD COLUMN repository TEXT NOT NULL DEFAULT '';
ALTER TABLE builds ADD COLUMN commit_sha TEXT NOT NULL DEFAULT '';
ALTER TABLE builds ADD COLUMN branch TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE builds DROP COLUMN branch;
ALTER TABLE builds DROP COLUMN commit_sha;
ALTER TABLE builds DROP COLUMN repository;
