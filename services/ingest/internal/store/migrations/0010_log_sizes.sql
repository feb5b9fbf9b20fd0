-- +goose Up
-- How much of an attempt's log all gateways together have sent, on behalf of workers that send it over HTTP; each tells its share
-- now and then. Rows go when the log's lines would have left the stream.
CREATE TABLE log_sizes (
    build_id TEXT   NOT NULL,
    attempt  BIGINT NOT NULL,
    lines    BIGINT NOT NULL,
    bytes    BIGINT NOT NULL,
    at_ms    BIGINT NOT NULL,
    PRIMARY KEY (build_id, attempt)
);
CREATE INDEX log_sizes_by_time ON log_sizes (at_ms);

-- +goose Down
DROP TABLE log_sizes;
