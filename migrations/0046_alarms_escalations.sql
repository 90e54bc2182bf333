alter table alarms add column escalations bigint not null default 0
