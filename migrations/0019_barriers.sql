-- Whether an order's creating transaction took place: the first of it and the check-back writes.
create table barriers (
    order_id varchar(32) not null primary key,
    outcome varchar(16) not null,
    at_ms bigint not null,
    check (outcome in ('committed', 'rolled_back'))
)
