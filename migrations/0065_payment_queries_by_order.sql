create index payment_queries_by_order on payment_queries (order_id, asked_at_ms)
