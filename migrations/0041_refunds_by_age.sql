create index refunds_by_age on refunds (created_at_ms)
