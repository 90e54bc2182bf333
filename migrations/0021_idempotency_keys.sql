-- The key is a hash of the caller's name and its key: letters of either case stay apart.
create table idempotency_keys (
    key_hash varchar(64) not null primary key,
    request_hash varchar(64) not null,
    order_id varchar(32) not null,
    response text not null,
    created_at_ms bigint not null
)
