-- One row: the id that every message of this database carries.
create table deployment (
    slot bigint not null primary key,
    deployment_id varchar(32) not null,
    created_at_ms bigint not null,
    check (slot = 1)
)
