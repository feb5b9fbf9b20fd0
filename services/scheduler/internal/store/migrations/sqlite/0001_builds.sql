-- +goose Up
CREATE TABLE builds (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT    NOT NULL UNIQUE,
    project      TEXT    NOT NULL,
    platform     TEXT    NOT NULL,
    pool         TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    attempt      INTEGER NOT NULL,
    lost         INTEGER NOT NULL DEFAULT 0,
    worker_id    TEXT    NOT NULL DEFAULT '',
    stage        TEXT    NOT NULL DEFAULT '',
    priority     INTEGER NOT NULL DEFAULT 0,
    error        TEXT    NOT NULL DEFAULT '',
    profile      TEXT    NOT NULL DEFAULT '',
    source       TEXT    NOT NULL DEFAULT '',
    certs        TEXT    NOT NULL DEFAULT '',
    result       TEXT    NOT NULL DEFAULT '',
    retry_of     TEXT    NOT NULL DEFAULT '',
    submitted_at INTEGER NOT NULL,
    queued_at    INTEGER NOT NULL DEFAULT 0,
    assigned_at  INTEGER NOT NULL DEFAULT 0,
    started_at   INTEGER NOT NULL DEFAULT 0,
    finished_at  INTEGER NOT NULL DEFAULT 0,
    not_before   INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX builds_waiting ON builds (pool, platform, priority DESC, seq) WHERE state IN ('pending', 'queued');
CREATE INDEX builds_leased ON builds (worker_id) WHERE state IN ('assigned', 'building');

CREATE TABLE attempts (
    build_id    TEXT    NOT NULL REFERENCES builds (id),
    number      INTEGER NOT NULL,
    worker_id   TEXT    NOT NULL,
    worker_name TEXT    NOT NULL,
    claimed_at  INTEGER NOT NULL,
    started_at  INTEGER NOT NULL DEFAULT 0,
    ended_at    INTEGER NOT NULL DEFAULT 0,
    outcome     TEXT    NOT NULL,
    error       TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (build_id, number)
);

CREATE TABLE workers (
    id            TEXT    PRIMARY KEY,
    name          TEXT    NOT NULL,
    pool          TEXT    NOT NULL,
    platforms     TEXT    NOT NULL,
    slots         INTEGER NOT NULL,
    labels        TEXT    NOT NULL DEFAULT '{}',
    version       TEXT    NOT NULL DEFAULT '',
    online        INTEGER NOT NULL DEFAULT 0,
    draining      INTEGER NOT NULL DEFAULT 0,
    registered_at INTEGER NOT NULL,
    seen_at       INTEGER NOT NULL
);

-- +goose Down
DROP TABLE workers;
DROP TABLE attempts;
DROP TABLE builds;
