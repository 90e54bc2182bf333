create index outbox_by_age on outbox (created_at_ms)
