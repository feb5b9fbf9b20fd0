-- +goose Up
CREATE TABLE samples (
    build_id          TEXT   NOT NULL,
    attempt           BIGINT NOT NULL,
    at                BIGINT NOT NULL,
    seq               BIGINT NOT NULL,
    worker_id         TEXT   NOT NULL,
    stage             TEXT   NOT NULL,
    cpu_percent       DOUBLE PRECISION,
    memory_mb         DOUBLE PRECISION,
    memory_unreliable INTEGER NOT NULL,
    disk_percent      DOUBLE PRECISION,
    processes         BIGINT,
    PRIMARY KEY (build_id, attempt, at, seq)
);
CREATE INDEX samples_at ON samples (at);

-- What all samples ever said: one row.
CREATE TABLE usage_totals (
    id        INTEGER PRIMARY KEY,
    cpu_sum   DOUBLE PRECISION NOT NULL,
    cpu_count BIGINT NOT NULL
);
INSERT INTO usage_totals (id, cpu_sum, cpu_count) VALUES (1, 0, 0);

CREATE TABLE reports (
    id          TEXT   NOT NULL PRIMARY KEY,
    worker_id   TEXT   NOT NULL,
    status      TEXT   NOT NULL,
    run_at      BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    auto_fixed  INTEGER NOT NULL,
    checks      TEXT   NOT NULL
);
CREATE INDEX reports_by_worker ON reports (worker_id, run_at);
CREATE INDEX reports_at ON reports (run_at);

-- +goose Down
DROP TABLE reports;
DROP TABLE usage_totals;
DROP TABLE samples;
