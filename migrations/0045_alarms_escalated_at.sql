-- When it escalated last: it was open for longer than its kind may be.
alter table alarms add column escalated_at_ms bigint
