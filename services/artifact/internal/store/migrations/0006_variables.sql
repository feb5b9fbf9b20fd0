-- +goose Up
-- Variables of projects, for builds. The value is encrypted under a key of its own, which the master key wraps; both open only together
-- with the row's project, environment and name. size is that of the value, in bytes.
CREATE TABLE variables (
    project     TEXT   NOT NULL,
    environment TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    visibility  TEXT   NOT NULL,
    size        BIGINT NOT NULL,
    sealed      BYTEA  NOT NULL,
    wrapped_key BYTEA  NOT NULL,
    updated_ms  BIGINT NOT NULL,
    PRIMARY KEY (project, environment, name)
);

-- +goose Down
DROP TABLE variables;
