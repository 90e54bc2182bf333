-- One day of China of one account: whether its bill was compared, and when it is looked at next.
create table bill_days (
    app_id varchar(32) not null,
    seller_id varchar(32) not null,
    bill_day varchar(10) not null,
    state varchar(12) not null,
    looks bigint not null,
    lines_ours bigint not null,
    lines_others bigint not null,
    repaired bigint not null,
    differences bigint not null,
    problem varchar(256),
    looked_at_ms bigint,
    next_look_at_ms bigint,
    leased_by varchar(32),
    leased_until_ms bigint not null,
    created_at_ms bigint not null,
    primary key (app_id, seller_id, bill_day),
    check (state in ('pending', 'clean', 'differences', 'missing'))
)
