create index refunds_by_request_no on refunds (request_no, created_at_ms)
