create index outbox_by_due on outbox (published, due_at_ms)
