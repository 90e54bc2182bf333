create index refunds_by_due on refunds (next_try_at_ms)
