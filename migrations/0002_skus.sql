create table skus (
    sku_id varchar(64) not null primary key,
    title varchar(256) not null,
    price_fen bigint not null,
    total bigint not null,
    available bigint not null,
    locked bigint not null,
    sold bigint not null,
    created_at_ms bigint not null,
    updated_at_ms bigint not null,
    check (price_fen >= 0),
    check (available >= 0),
    check (locked >= 0),
    check (sold >= 0),
    check (available + locked + sold = total)
)
