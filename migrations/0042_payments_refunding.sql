-- What unfinished refunds have set aside: paid - refunded - refunding is left.
alter table payments add column refunding_fen bigint not null default 0 check (refunding_fen >= 0)
