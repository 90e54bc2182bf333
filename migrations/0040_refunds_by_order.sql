create index refunds_by_order on refunds (order_id, created_at_ms)
