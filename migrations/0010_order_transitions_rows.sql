insert into order_transitions (from_status, to_status) values
    ('none', 'awaiting_payment'),
    ('awaiting_payment', 'awaiting_payment'),
    ('awaiting_payment', 'paid'),
    ('awaiting_payment', 'cancelled'),
    ('paid', 'paid'),
    ('paid', 'refunding'),
    ('refunding', 'refunding'),
    ('refunding', 'paid'),
    ('refunding', 'refunded'),
    ('refunded', 'refunded'),
    ('cancelled', 'cancelled'),
    ('cancelled', 'paid')
