create index payment_queries_by_age on payment_queries (asked_at_ms)
