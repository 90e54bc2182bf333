create index refunds_by_status on refunds (status, created_at_ms)
