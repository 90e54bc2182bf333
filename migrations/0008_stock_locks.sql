-- One row a SKU of an order; a reopened order locks again in its next round.
create table stock_locks (
    order_id varchar(32) not null,
    sku_id varchar(64) not null,
    round bigint not null,
    quantity bigint not null,
    status varchar(16) not null,
    locked_at_ms bigint not null,
    ended_at_ms bigint,
    primary key (order_id, sku_id, round),
    foreign key (order_id) references orders (id),
    foreign key (sku_id) references skus (sku_id),
    check (quantity > 0),
    check (status in ('open', 'consumed', 'released')),
    check ((status = 'open') = (ended_at_ms is null))
)
