-- When the gateway was last asked to refund this payment: two refunds of one trade keep a distance.
alter table payments add column refund_sent_at_ms bigint not null default 0
