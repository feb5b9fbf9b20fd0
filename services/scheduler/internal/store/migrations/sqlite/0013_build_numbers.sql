-- +goose Up
-- The last versionCode (Android) or buildNumber (iOS) that a project used, such as 41 or 1.2.3.
CREATE TABLE build_numbers (
    project    TEXT    NOT NULL,
    platform   TEXT    NOT NULL,
    last       TEXT    NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (project, platform)
);

-- +goose Down
DROP TABLE build_numbers;
