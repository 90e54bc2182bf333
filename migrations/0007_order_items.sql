create table order_items (
    order_id varchar(32) not null,
    sku_id varchar(64) not null,
    title varchar(256) not null,
    price_fen bigint not null,
    quantity bigint not null,
    primary key (order_id, sku_id),
    foreign key (order_id) references orders (id),
    check (quantity > 0),
    check (price_fen >= 0)
)
