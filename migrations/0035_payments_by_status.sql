create index payments_by_status on payments (status, created_at_ms)
