//! Defects that comparable services have, each as a named test that fails if we have it too. The
//! numbers are those of the study of peers: tulingmall 1 to 27, mall 1 to 12, then others.
//!
//! | defect | proven by |
//! |---|---|
//! | tulingmall 3, 5, 9, 10, 12–14, 16–18, 21, 24, 25, 27 | `tulingmall` |
//! | tulingmall 1, 4, 6, 11, 15, 20, 22, 23 | `tulingmall_ends`, and below |
//! | 1 the check writes a state that the consumer skips | `stories::timeout::unscanned_order_is_cancelled_with_evidence_and_its_stock_is_back` |
//! | 2 the sweep never runs | `tulingmall_02…`, `config::sweep::tests` (the cron) |
//! | 4 an outage counts as *not paid* | `stories::timeout::unknown_is_not_unpaid_whatever_the_gateway_does` |
//! | 6 a payment found by the query is lost | `stories::timeout::payment_whose_notifications_are_lost_is_found_by_the_next_check_back` |
//! | 7 right by accident: headers that can't be changed | the count is a column: `store_contract::pending` |
//! | 8 what was settled is kept for ever | `stories::payment::a_paid_order_is_paid_once_and_its_stock_stays_locked`, `stories::timeout::attempts_of_an_ended_order_stay_pending_until_their_code_is_dead` |
//! | 11 a late payment turns a cancelled order back | `stories::payment::a_payment_after_the_cancel_is_recorded_as_late_and_given_back` |
//! | 15 a lock is leaked when a later step fails | `tulingmall_14…`, `stories::placing::without_stock_nothing_is_left_behind` |
//! | 18 the trade is never closed | `stories::timeout::scanned_order_is_cancelled_after_its_trade_was_closed` |
//! | 19 clocks that contradict each other | `config::timeout::tests`, `tulingmall_18…` |
//! | 20 the buyer's cancel goes nowhere, 22 a paid order can be closed | `stories::cancel::a_cancel_has_three_answers` |
//! | 13 a late payment is never given back | `stories::late_payments::however_many_find_a_late_payment_it_goes_back_once` |
//! | 23 no refunds | `stories::refunds`, `stories::refund_faults` |
//! | 26 no tests | here they are |
//! | mall 1, 2, 9 | `others` |
//! | mall 3 anybody marks an order as paid | `stories::notifications::a_forged_notification_changes_nothing` |
//! | mall 4 a late payment leaves no trace | `stories::payment::a_payment_after_the_cancel_is_recorded_as_late_and_given_back` |
//! | mall 5 a cancel overwrites a payment | `stories::cancel::cancelling_while_the_buyer_pays_is_never_both_and_never_neither` |
//! | mall 6 no question before a cancel | `stories::payment::a_payment_in_the_instant_of_the_timeout_is_never_both_and_never_neither` |
//! | mall 7 a lost message locks stock for ever | `stories::broker::the_sweep_alone_is_sufficient` |
//! | mall 8 points | a later issue |
//! | mall 10 a return never reaches the gateway | `stories::refunds::pieces_come_back_once` |
//! | mall 11, 12 | as tulingmall 22, 26 |
//! | jeepay 1 expiry without a question, no close of an unscanned code | `stories::payment::a_payment_in_the_instant_of_the_timeout_is_never_both_and_never_neither`, `jeepay_01…` |
//! | jeepay 2 pages that skip rows, two nodes that do the work twice | `store_contract::pending` |
//! | jeepay 2 paid words taken for *waiting* | `alipay_answers`, `mall_09…` |
//! | jeepay 3 | `others` |
//! | jeepay 4 an unknown answer to a refund ends it | `stories::refund_faults::whatever_becomes_of_the_request_the_money_goes_back_once` |
//! | jeepay 5, yudao #1152 two payments of one order | `stories::payment::two_paid_attempts_are_one_payment_and_one_duplicate` |
//! | jeepay 7 the change without its message | `store_contract::outbox`, and I15 at the end of every story |
//! | yudao 3 a notification of a closed order comes for ever | `tulingmall_13…` |
//! | saleor, WooCommerce, vendure, medusa | `others` |
//! | WooCommerce #5759, #5703 | as mall 6, mall 4 |

use std::sync::Arc;

use checkback::consumers::bridge::{Consumed, Delivery};
use checkback::consumers::cancel_order;
use checkback::domain::ids::OrderId;
use checkback::domain::timeout_message::{CANCEL_TAG, ORDER_TIMEOUT_TOPIC, TimeoutMessage};
use checkback::listener::OrderListener;
use checkback::producer::rocketmq::{CheckAnswer, HalfMessage, TransactionHandler};

use crate::support::TestApp;

mod others;
mod tulingmall;
mod tulingmall_ends;

fn body(app: &TestApp, order_id: &str) -> Vec<u8> {
    let id = OrderId::parse(order_id).expect("an id");
    TimeoutMessage::new(app.app().deployment.clone(), id).to_bytes()
}

/// The broker asks what became of the order's half message.
async fn check(app: &TestApp, order_id: &str) -> CheckAnswer {
    let listener = OrderListener::new(Arc::clone(app.app()), app.service().event_producer());
    let message = HalfMessage {
        topic: ORDER_TIMEOUT_TOPIC.to_owned(),
        key: order_id.to_owned(),
        body: body(app, order_id),
        broker_check_times: Some(1),
        transaction_id: "T".to_owned(),
    };
    listener.check(message).await
}

/// The broker delivers the order's committed message.
async fn deliver(app: &TestApp, order_id: &str) -> Consumed {
    let handler = cancel_order::handler(Arc::clone(app.app()));
    let delivery = Delivery {
        topic: ORDER_TIMEOUT_TOPIC.to_owned(),
        tag: CANCEL_TAG.to_owned(),
        key: order_id.to_owned(),
        body: body(app, order_id),
        reconsume_times: 0,
        message_id: "M".to_owned(),
        real_topic: None,
    };
    handler(delivery).await
}

/// How many history lines have this cause.
async fn count(app: &TestApp, order_id: &str, cause: &str) -> usize {
    app.events(order_id).await.iter().filter(|event| event["cause"] == cause).count()
}
