-- Every call about a payment attempt that a settlement made, its answer and its duration.
create table payment_queries (
    id varchar(32) not null primary key,
    order_id varchar(32) not null,
    out_trade_no varchar(64) not null,
    caused_by varchar(32) not null,
    call_name varchar(8) not null,
    answer varchar(32) not null,
    asked_at_ms bigint not null,
    took_ms bigint not null
)
