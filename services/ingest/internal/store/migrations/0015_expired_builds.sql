-- +goose Up
-- What is deleted by build when the scheduler lets builds go.
CREATE INDEX webhook_deliveries_subject ON webhook_deliveries (subject);
CREATE INDEX idempotency_build ON idempotency (build_id);

-- +goose Down
DROP INDEX idempotency_build;
DROP INDEX webhook_deliveries_subject;
