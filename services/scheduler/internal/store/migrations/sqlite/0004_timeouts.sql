-- +goose Up
-- What a build's own profile asked for, in milliseconds; 0 if it asked for nothing. When its stage began. Whether it was told
-- that it waits for long.
ALTER TABLE builds ADD COLUMN timeout_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE builds ADD COLUMN stage_ttl_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE builds ADD COLUMN stage_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE builds ADD COLUMN wait_told BIGINT NOT NULL DEFAULT 0;

-- What projects have instead of the configuration's, in seconds: stages as JSON; 0 leaves the configuration's.
CREATE TABLE project_timeouts (
    project      TEXT   NOT NULL PRIMARY KEY,
    stage_ttls   TEXT   NOT NULL,
    timeout_s    BIGINT NOT NULL,
    wait_alert_s BIGINT NOT NULL
);

-- +goose Down
DROP TABLE project_timeouts;
ALTER TABLE builds DROP COLUMN wait_told;
ALTER TABLE builds DROP COLUMN stage_at;
ALTER TABLE builds DROP COLUMN stage_ttl_ms;
ALTER TABLE builds DROP COLUMN timeout_ms;
