create index bill_days_by_due on bill_days (next_look_at_ms)
