-- +goose Up
-- Access tokens that another controller gave to the submitters of builds which were taken over; only hashes.
CREATE TABLE former_tokens (
    build_id TEXT NOT NULL PRIMARY KEY,
    hash     TEXT NOT NULL
);

-- +goose Down
DROP TABLE former_tokens;
