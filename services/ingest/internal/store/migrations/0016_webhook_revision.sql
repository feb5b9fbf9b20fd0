-- +goose Up
-- The number of changes to a webhook's settings. A failed attempt that began before a change does not count against the webhook.
ALTER TABLE webhooks ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE webhooks DROP COLUMN revision;
