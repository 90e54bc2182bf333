-- Where a bill and the records differ. open_key names the difference while it is open, null
-- afterwards: one open row a difference.
create table bill_differences (
    id varchar(32) not null primary key,
    app_id varchar(32) not null,
    seller_id varchar(32) not null,
    bill_day varchar(10) not null,
    kind varchar(24) not null,
    out_trade_no varchar(64) not null,
    out_request_no varchar(64) not null,
    detail varchar(256) not null,
    open_key varchar(64),
    found_at_ms bigint not null,
    resolved_at_ms bigint,
    unique (open_key)
)
