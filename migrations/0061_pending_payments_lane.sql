-- Who looks at a row: 0, nobody can pay its order and the gateway isn't asked; 1, the poll; 2, only
-- the sweep, for the poll's queries are used up. Releases before this one wrote no lane.
alter table pending_payments add column lane bigint not null default 1
