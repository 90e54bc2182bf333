create index pending_payments_by_order on pending_payments (order_id)
