-- An operator searches by a storefront's number without naming the storefront.
create index orders_by_order_no on orders (order_no)
