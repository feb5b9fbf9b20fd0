-- +goose Up
CREATE TABLE leases (
    build_id  TEXT   NOT NULL PRIMARY KEY,
    attempt   BIGINT NOT NULL,
    worker_id TEXT   NOT NULL,
    stage     TEXT   NOT NULL,
    ttl_ms    BIGINT NOT NULL,
    since     BIGINT NOT NULL,
    look_at   BIGINT NOT NULL
);
CREATE INDEX leases_due ON leases (look_at);

CREATE TABLE workers (
    worker_id TEXT   NOT NULL PRIMARY KEY,
    look_at   BIGINT NOT NULL
);
CREATE INDEX workers_due ON workers (look_at);

-- +goose Down
DROP TABLE workers;
DROP TABLE leases;
