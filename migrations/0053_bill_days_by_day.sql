create index bill_days_by_day on bill_days (bill_day)
