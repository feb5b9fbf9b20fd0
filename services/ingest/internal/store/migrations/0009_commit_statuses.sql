-- +goose Up
-- The token that a webhook of format github shows, sealed. Where below the webhook's URL a delivery goes, and of one that is
-- skipped (a state beside pending, delivered and dead) why.
ALTER TABLE webhooks ADD COLUMN token TEXT NOT NULL DEFAULT '';
ALTER TABLE webhook_deliveries ADD COLUMN path TEXT NOT NULL DEFAULT '';
ALTER TABLE webhook_deliveries ADD COLUMN note TEXT NOT NULL DEFAULT '';

-- +goose Down
DELETE FROM webhook_deliveries WHERE state = 'skipped';
ALTER TABLE webhook_deliveries DROP COLUMN note;
ALTER TABLE webhook_deliveries DROP COLUMN path;
ALTER TABLE webhooks DROP COLUMN token;
