-- Every change of a SKU's counters, by what caused it; the key makes each change happen once.
create table stock_ledger (
    cause varchar(160) not null,
    sku_id varchar(64) not null,
    order_id varchar(32),
    kind varchar(16) not null,
    available_delta bigint not null,
    locked_delta bigint not null,
    sold_delta bigint not null,
    detail varchar(512) not null,
    actor varchar(80) not null,
    at_ms bigint not null,
    primary key (sku_id, cause),
    check (kind in ('initial', 'adjust', 'lock', 'release', 'consume', 'restock'))
)
