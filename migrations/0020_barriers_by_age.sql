create index barriers_by_age on barriers (at_ms)
