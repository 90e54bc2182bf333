create index orders_by_age on orders (created_at_ms)
