-- Who is alive: instances share what the gateway allows. A row that is out of date is removed.
create table instances (
    id varchar(32) not null primary key,
    started_at_ms bigint not null,
    alive_until_ms bigint not null
)
