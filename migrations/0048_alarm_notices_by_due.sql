create index alarm_notices_by_due on alarm_notices (delivered, due_at_ms)
