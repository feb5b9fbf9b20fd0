-- +goose Up
-- The bytes of small objects: a row here instead of an object in the store, whose s3_key is empty then. As they lie, encrypted
-- or not. BYTEA is PostgreSQL's; SQLite keeps a blob under any name.
CREATE TABLE small_objects (
    object_id TEXT  PRIMARY KEY,
    bytes     BYTEA NOT NULL
);

-- +goose Down
DROP TABLE small_objects;
