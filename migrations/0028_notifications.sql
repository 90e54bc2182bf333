-- Verified notifications whose effect is committed, as they came.
create table notifications (
    notify_hash varchar(64) not null primary key,
    notify_id varchar(128) not null,
    out_trade_no varchar(64) not null,
    trade_status varchar(32) not null,
    effect varchar(40) not null,
    raw blob not null,
    received_at_ms bigint not null
)
