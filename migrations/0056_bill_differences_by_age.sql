create index bill_differences_by_age on bill_differences (found_at_ms)
