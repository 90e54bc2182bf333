-- The allowed changes of an order's status; history rows refer to it, so that the database refuses
-- any other. A pair of equal names is a change that leaves the status alone.
create table order_transitions (
    from_status varchar(20) not null,
    to_status varchar(20) not null,
    primary key (from_status, to_status)
)
