create index notifications_by_age on notifications (received_at_ms)
