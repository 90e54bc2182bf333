create table outbox (
    event_id varchar(64) not null primary key,
    order_id varchar(32) not null,
    sequence bigint not null,
    topic varchar(64) not null,
    tag varchar(32) not null,
    body text not null,
    published bigint not null,
    due_at_ms bigint not null,
    failures bigint not null,
    created_at_ms bigint not null,
    published_at_ms bigint,
    unique (order_id, sequence),
    check (published in (0, 1))
)
