-- +goose Up
-- Secrets are sealed with the gateways' key; events is a list with commas.
CREATE TABLE webhooks (
    id              TEXT   NOT NULL PRIMARY KEY,
    url             TEXT   NOT NULL,
    format          TEXT   NOT NULL,
    events          TEXT   NOT NULL,
    project         TEXT   NOT NULL,
    description     TEXT   NOT NULL,
    secret          TEXT   NOT NULL,
    enabled         BIGINT NOT NULL,
    disabled_reason TEXT   NOT NULL DEFAULT '',
    created_at      BIGINT NOT NULL,
    -- When the deliveries that fail now began to: 0 while they do not.
    failing_since   BIGINT NOT NULL DEFAULT 0,
    succeeded_at    BIGINT NOT NULL DEFAULT 0
);

-- One event for one webhook. place is the event's in its stream: those of one build go out in that order.
CREATE TABLE webhook_deliveries (
    id         TEXT   NOT NULL PRIMARY KEY,
    hook_id    TEXT   NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id   TEXT   NOT NULL,
    event      TEXT   NOT NULL,
    subject    TEXT   NOT NULL,
    place      BIGINT NOT NULL,
    body       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    -- pending, delivered or dead.
    state      TEXT   NOT NULL,
    attempts   BIGINT NOT NULL DEFAULT 0,
    next_at    BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (hook_id, next_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_order ON webhook_deliveries (hook_id, subject, place) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_list ON webhook_deliveries (hook_id, created_at, id);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (state, ended_at);

CREATE TABLE webhook_attempts (
    delivery_id TEXT   NOT NULL REFERENCES webhook_deliveries (id) ON DELETE CASCADE,
    at          BIGINT NOT NULL,
    status      BIGINT NOT NULL,
    error       TEXT   NOT NULL,
    took_ms     BIGINT NOT NULL
);
CREATE INDEX webhook_attempts_of ON webhook_attempts (delivery_id, at);

-- +goose Down
DROP TABLE webhook_attempts;
DROP TABLE webhook_deliveries;
DROP TABLE webhooks;
