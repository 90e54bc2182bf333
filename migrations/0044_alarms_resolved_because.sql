-- Why an operator resolved it, in their own words.
alter table alarms add column resolved_because varchar(256)
