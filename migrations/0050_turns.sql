-- Work that one instance does at a time: when it is due next, and what came of it last.
create table turns (
    name varchar(32) not null primary key,
    due_at_ms bigint not null,
    done_at_ms bigint,
    result text
)
