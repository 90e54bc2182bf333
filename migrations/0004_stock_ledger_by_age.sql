create index stock_ledger_by_age on stock_ledger (at_ms)
