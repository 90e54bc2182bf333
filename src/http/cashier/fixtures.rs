//! Orders for the tests of the page and of what it shows.

use chrono::{DateTime, Utc};

use crate::domain::ids::{OrderId, OutRequestNo, OutTradeNo};
use crate::domain::money::Fen;
use crate::domain::order::{Engine, HalfMessageMeaning, Order, OrderStatus};
use crate::domain::payment::{AccountRef, Attempt, PaymentStatus};
use crate::domain::refund::{Refund, RefundCause, RefundStatus};
use crate::http::live::Snapshot;
use crate::service::request_payment::CHANNEL;
use crate::store::orders::OrderRecord;
use crate::store::payments::PaymentRecord;
use crate::store::refunds::RefundRecord;

/// The window of every order here (seconds).
pub(in crate::http) const WINDOW_S: i64 = 60;

/// So many seconds after the order was placed.
pub(in crate::http) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("a time")
}

/// An amount.
pub(in crate::http) fn fen(fen: i64) -> Fen {
    Fen::new(fen).expect("in range")
}

/// An order of 12.30 yuan with these payments.
pub(in crate::http) fn snapshot(status: OrderStatus, payments: Vec<PaymentRecord>) -> Snapshot {
    let record = OrderRecord {
        order: Order {
            id: OrderId::from_trusted("01ARZ3NDEKTSV4RRFFQ69G5FAV"),
            version: 1,
            status,
            amount: fen(1_230),
            expires_at: at(WINDOW_S),
            cancel_request: None,
            applied: None,
        },
        degraded: false,
        storefront: "dev".into(),
        order_no: None,
        member_id: "member-secret".into(),
        class: "default".into(),
        subject: "Order".into(),
        metadata: r#"{"note":"metadata-secret"}"#.into(),
        engine: Engine::Transaction,
        half_message: HalfMessageMeaning::Cancel,
        refunded: Fen::ZERO,
        paid_at: None,
        cancelled_at: None,
        created_at: at(0),
    };
    Snapshot { record, payments, refunds: Vec::new(), evidence: None }
}

/// An attempt with a code.
pub(in crate::http) fn attempt(number: &str, status: PaymentStatus) -> PaymentRecord {
    PaymentRecord {
        attempt: Attempt {
            out_trade_no: OutTradeNo::from_trusted(number),
            status,
            amount: fen(1_230),
            seen: false,
            paid: false,
            refunded: Fen::ZERO,
            refunding: Fen::ZERO,
            code_dies_at: at(WINDOW_S),
            account: AccountRef {
                gateway_url: "https://gateway.test".into(),
                app_id: "app-secret".into(),
                seller_id: "seller-secret".into(),
            },
        },
        order_id: Some(OrderId::from_trusted("01ARZ3NDEKTSV4RRFFQ69G5FAV")),
        channel: CHANNEL.into(),
        subject: "Order".into(),
        trade_no: None,
        qr_code: Some(format!("https://qr.test/{number}")),
        expires_at: at(WINDOW_S),
        paid: None,
        paid_at: None,
        created_at: at(1),
    }
}

/// An attempt for which money came.
pub(in crate::http) fn paid(number: &str, status: PaymentStatus, amount: i64) -> PaymentRecord {
    let mut record = attempt(number, status);
    record.attempt.paid = true;
    record.paid = Some(fen(amount));
    record.paid_at = Some(at(30));
    record
}

/// A refund of a payment.
pub(in crate::http) fn refund(number: &str, status: RefundStatus, amount: i64) -> RefundRecord {
    RefundRecord {
        refund: Refund {
            out_request_no: OutRequestNo::from_trusted("RF-secret"),
            order_id: Some(OrderId::from_trusted("01ARZ3NDEKTSV4RRFFQ69G5FAV")),
            out_trade_no: OutTradeNo::from_trusted(number),
            request_no: "r1".into(),
            cause: RefundCause::Requested,
            status,
            amount: fen(amount),
            reason: "reason-secret".into(),
            items: Vec::new(),
            tries: 1,
            doubt_since: None,
        },
        request_hash: String::new(),
        requested_by: "key-name".into(),
        refused_because: (status == RefundStatus::Refused).then(|| "because-secret".into()),
        paid_elsewhere: None,
        last_answer: None,
        next_try_at: (!status.is_ended()).then(|| at(50)),
        sent_at: Some(at(41)),
        ended_at: status.is_ended().then(|| at(42)),
        created_at: at(40),
    }
}
