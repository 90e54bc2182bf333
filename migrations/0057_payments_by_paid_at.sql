create index payments_by_paid_at on payments (paid_at_ms, out_trade_no)
