create index pending_payments_by_due on pending_payments (next_query_at_ms)
