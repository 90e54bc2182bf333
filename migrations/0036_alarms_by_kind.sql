create index alarms_by_kind on alarms (kind, opened_at_ms)
