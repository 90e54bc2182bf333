create index payments_by_age on payments (created_at_ms)
