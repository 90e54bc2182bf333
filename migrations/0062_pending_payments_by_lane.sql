create index pending_payments_by_lane on pending_payments (lane, next_query_at_ms)
