-- +goose Up
-- An upload in pieces: the object store's id of it, the names of its pieces (JSON), how many bytes they are, and the SHA-256's
-- state after them (base64). Its key stands in s3_key.
ALTER TABLE objects ADD COLUMN upload_id TEXT NOT NULL DEFAULT '';
ALTER TABLE objects ADD COLUMN pieces TEXT NOT NULL DEFAULT 'null';
ALTER TABLE objects ADD COLUMN received BIGINT NOT NULL DEFAULT 0;
ALTER TABLE objects ADD COLUMN hash_state TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE objects DROP COLUMN hash_state;
ALTER TABLE objects DROP COLUMN received;
ALTER TABLE objects DROP COLUMN pieces;
ALTER TABLE objects DROP COLUMN upload_id;
