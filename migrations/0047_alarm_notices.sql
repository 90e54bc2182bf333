-- What the outgoing webhook tells of an alarm, written in the transaction that changes the alarm.
create table alarm_notices (
    id varchar(48) not null primary key,
    alarm_id varchar(32) not null,
    sequence bigint not null,
    event varchar(16) not null,
    severity varchar(16) not null,
    body text not null,
    delivered bigint not null,
    due_at_ms bigint not null,
    failures bigint not null,
    created_at_ms bigint not null,
    delivered_at_ms bigint,
    unique (alarm_id, sequence),
    check (event in ('opened', 'acknowledged', 'escalated', 'resolved')),
    check (delivered in (0, 1))
)
