-- +goose Up
-- Builds of our own count from a thousand million and one; the numbers below are for those taken over from another controller, which
-- are older than ours and stand before them in every list. Where builds of our own have low numbers already, history follows them.
INSERT INTO sqlite_sequence (name, seq) SELECT 'builds', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'builds');
UPDATE sqlite_sequence SET seq = 1000000000 WHERE name = 'builds' AND seq < 1000000000;

-- +goose Down
UPDATE sqlite_sequence SET seq = (SELECT coalesce(max(seq), 0) FROM builds) WHERE name = 'builds';
