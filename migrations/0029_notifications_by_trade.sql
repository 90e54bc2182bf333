create index notifications_by_trade on notifications (out_trade_no)
