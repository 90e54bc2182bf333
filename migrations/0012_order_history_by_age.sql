create index order_history_by_age on order_history (at_ms)
