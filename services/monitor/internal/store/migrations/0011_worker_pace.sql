-- +goose Up
-- What silence each worker's last beat asked to be forgiven.
ALTER TABLE workers ADD COLUMN ttl_ms BIGINT NOT NULL DEFAULT 15000;

-- +goose Down
ALTER TABLE workers DROP COLUMN ttl_ms;
