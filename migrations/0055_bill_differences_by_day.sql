create index bill_differences_by_day on bill_differences (app_id, seller_id, bill_day)
