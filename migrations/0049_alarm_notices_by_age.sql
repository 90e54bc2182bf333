create index alarm_notices_by_age on alarm_notices (created_at_ms)
