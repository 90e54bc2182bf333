-- open_key is kind and subject while the alarm is open, null afterwards: one open alarm a cause.
create table alarms (
    id varchar(32) not null primary key,
    kind varchar(40) not null,
    subject varchar(160) not null,
    severity varchar(16) not null,
    detail varchar(1024) not null,
    open_key varchar(210),
    count bigint not null,
    opened_at_ms bigint not null,
    last_at_ms bigint not null,
    acknowledged_at_ms bigint,
    acknowledged_by varchar(80),
    resolved_at_ms bigint,
    resolved_by varchar(80),
    unique (open_key)
)
