-- +goose Up
-- CPU and memory as another controller kept them: history, which is not swept by age. A number is unique there, so that a repeat is known.
CREATE TABLE snapshots (
    build_id    TEXT   NOT NULL,
    number      BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    cpu_percent DOUBLE PRECISION NOT NULL,
    memory_mb   DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (build_id, number)
);
-- 1: taken over from another controller, so not swept either.
ALTER TABLE reports ADD COLUMN former INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE reports DROP COLUMN former;
DROP TABLE snapshots;
