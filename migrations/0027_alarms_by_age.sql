create index alarms_by_age on alarms (resolved_at_ms, opened_at_ms)
