create table order_history (
    order_id varchar(32) not null,
    version bigint not null,
    line bigint not null,
    at_ms bigint not null,
    actor varchar(80) not null,
    cause varchar(40) not null,
    from_status varchar(20) not null,
    to_status varchar(20) not null,
    detail text not null,
    primary key (order_id, version, line),
    foreign key (order_id) references orders (id),
    foreign key (from_status, to_status) references order_transitions (from_status, to_status)
)
