-- The newest migration that an instance has to know to work with this schema: a release that takes
-- something away raises it. Until then older instances run beside newer ones.
alter table deployment add column schema_floor bigint not null default 0
