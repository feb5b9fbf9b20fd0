-- +goose Up
-- When a build was let go; 0 if it was not. The row stays for a while without anything in it, so that whoever still copies the
-- build's log finds that nobody wants it.
ALTER TABLE build_logs ADD COLUMN expired_ms BIGINT NOT NULL DEFAULT 0;
CREATE INDEX build_logs_by_expiry ON build_logs (expired_ms) WHERE expired_ms > 0;

-- +goose Down
DELETE FROM build_logs WHERE expired_ms > 0;
DROP INDEX build_logs_by_expiry;
ALTER TABLE build_logs DROP COLUMN expired_ms;
