-- Only what is unsettled: a row for an order that awaits payment, and one for each attempt that
-- money can still come for, whatever became of its order. A closed attempt keeps one for a last
-- look.
create table pending_payments (
    subject varchar(64) not null primary key,
    kind varchar(8) not null,
    order_id varchar(32) not null,
    next_query_at_ms bigint not null,
    check_count bigint not null,
    query_count bigint not null,
    last_answer varchar(24),
    last_answer_at_ms bigint,
    last_check_at_ms bigint,
    leased_by varchar(32),
    leased_until_ms bigint not null,
    created_at_ms bigint not null,
    foreign key (order_id) references orders (id),
    check (kind in ('order', 'attempt', 'closed')),
    check (check_count >= 0)
)
