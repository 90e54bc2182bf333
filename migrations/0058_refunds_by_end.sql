create index refunds_by_end on refunds (ended_at_ms, out_request_no)
