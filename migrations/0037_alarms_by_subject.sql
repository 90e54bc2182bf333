create index alarms_by_subject on alarms (subject, opened_at_ms)
