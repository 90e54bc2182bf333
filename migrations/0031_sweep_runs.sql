create table sweep_runs (
    id varchar(32) not null primary key,
    started_at_ms bigint not null,
    finished_at_ms bigint not null,
    settled bigint not null,
    still_pending bigint not null,
    failed bigint not null
)
