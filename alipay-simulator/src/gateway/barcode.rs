//! `alipay.trade.pay`: the merchant scans the code that the buyer shows.

use chrono::{DateTime, TimeDelta, Utc};

use super::admission::Call;
use super::node::Node;
use super::precreate::{check_repeat, check_time};
use super::trade_calls::with_payment;
use super::{Failure, order};
use crate::books::Books;
use crate::buyer;
use crate::clock::wire_time;
use crate::faults::{Hits, Kind};
use crate::fields::Fields;
use crate::notify::{BUYER_ID, BUYER_LOGON_ID};
use crate::server::Shared;
use crate::trade::{Confirmation, Product, Trade};

/// How long a buyer takes to confirm or to give up, unless told otherwise.
const DEFAULT_HESITATION: TimeDelta = TimeDelta::seconds(5);
const LONGEST_AUTH_CODE: usize = 64;
/// What a code for a face has behind `fp`.
const FACE_CODE_LENGTH: usize = 35;

/// What the gateway says, and what the buyer does by itself then, and when.
struct Course {
    says: Says,
    confirmation: Option<Confirmation>,
}

enum Says {
    Paid,
    BuyerMustConfirm,
    Unknown,
}

/// An amount without a payment pays nothing: failures answer 0.00.
pub(super) fn without_payment(node: Node) -> Node {
    let amounts = ["receipt_amount", "buyer_pay_amount", "point_amount", "invoice_amount"];
    amounts.into_iter().fold(node, |node, name| node.with(name, "0.00"))
}

pub(super) fn pay(
    shared: &Shared,
    books: &mut Books,
    now: DateTime<Utc>,
    call: &Call,
    fields: &Fields,
    hits: &Hits,
) -> Result<Node, Failure> {
    let scene = fields.required_text("scene", 32)?;
    let auth_code = fields.required_text("auth_code", LONGEST_AUTH_CODE)?;
    let order = order::read(shared, now, call, fields, Product::Barcode)?;
    let number = order.out_trade_no.clone();
    let known = books.trade(&number, now);
    match &known {
        Some(trade) => check_repeat(trade, &order, now)?,
        None => check_time(order.times_out_at, now)?,
    }
    let shown_for = books.number_of_auth_code(&auth_code);
    if !is_auth_code(&scene, &auth_code) || shown_for.is_some_and(|other| other != number) {
        return Err("ACQ.PAYMENT_AUTH_CODE_INVALID".into());
    }
    if known.is_none() {
        books.add_trade(order, now);
    }
    let course = course(now, hits);
    // Nothing stands in the way: the trade is new, or waits.
    let opened = buyer::scan(books, &number, now).and_then(Result::ok);
    let opened = opened.ok_or("ACQ.SYSTEM_ERROR")?;
    books.edit(&number, now, |trade| {
        trade.notify_url.clone_from(&call.notify_url);
        trade.confirmation = course.confirmation;
        if !trade.auth_codes.contains(&auth_code) {
            trade.auth_codes.push(auth_code);
        }
    });
    match course.says {
        Says::Unknown => Ok(Node::unknown()),
        Says::BuyerMustConfirm => Ok(of_buyer(Node::buyer_must_confirm(), &opened)),
        Says::Paid => {
            let paid = buyer::pay(books, &number, None, now).and_then(Result::ok);
            Ok(paid_at_once(&paid.ok_or("ACQ.SYSTEM_ERROR")?))
        }
    }
}

fn course(now: DateTime<Utc>, hits: &Hits) -> Course {
    let course = |kind, says, pays| {
        let delay = hits.delay(kind, DEFAULT_HESITATION)?;
        Some(Course { says, confirmation: Some(Confirmation { at: now + delay, pays }) })
    };
    course(Kind::ConfirmThenPaid, Says::BuyerMustConfirm, true)
        .or_else(|| course(Kind::ConfirmThenFailed, Says::BuyerMustConfirm, false))
        .or_else(|| course(Kind::UnknownThenPaid, Says::Unknown, true))
        .or_else(|| course(Kind::UnknownThenFailed, Says::Unknown, false))
        .unwrap_or_else(|| {
            let must_confirm = hits.has(Kind::BuyerMustConfirm);
            let says = if must_confirm { Says::BuyerMustConfirm } else { Says::Paid };
            Course { says, confirmation: None }
        })
}

/// 16 to 24 digits that begin with 25 to 30, or the code of a face; old wave codes may be anything.
fn is_auth_code(scene: &str, code: &str) -> bool {
    match scene {
        "bar_code" => {
            let digits = code.bytes().all(|byte| byte.is_ascii_digit());
            let start = code.get(..2).and_then(|start| start.parse::<u8>().ok());
            let fits = start.is_some_and(|start| (25..=30).contains(&start));
            digits && fits && (16..=24).contains(&code.len())
        }
        "security_code" => {
            let face = code.strip_prefix("fp");
            face.is_some_and(|face| face.chars().count() == FACE_CODE_LENGTH)
        }
        "wave_code" => true,
        _ => false,
    }
}

fn paid_at_once(trade: &Trade) -> Node {
    let node = with_payment(of_buyer(Node::success(), trade), trade);
    let paid_at = trade.progress.payment.as_ref().map(|payment| wire_time(payment.at));
    node.with("gmt_payment", paid_at)
}

fn of_buyer(node: Node, trade: &Trade) -> Node {
    node.with("trade_no", trade.progress.trade_no.clone())
        .with("out_trade_no", trade.out_trade_no.clone())
        .with("buyer_logon_id", BUYER_LOGON_ID)
        .with("buyer_user_id", BUYER_ID)
        .with("buyer_user_type", "PRIVATE")
        .with("total_amount", trade.total().to_string())
}

#[cfg(test)]
mod tests {
    use super::is_auth_code;

    #[test]
    fn codes_fit_their_scene() {
        let face = format!("fp{}", "0a".repeat(18));
        for (scene, code, fits) in [
            ("bar_code", "2500000000000000", true),
            ("bar_code", "300000000000000000000000", true),
            ("bar_code", "250000000000000", false),
            ("bar_code", "3000000000000000000000000", false),
            ("bar_code", "2400000000000000", false),
            ("bar_code", "3100000000000000", false),
            ("bar_code", "25000000000000x0", false),
            ("bar_code", "２５00000000000000", false),
            ("security_code", &face[..37], true),
            ("security_code", &face, false),
            ("security_code", "2500000000000000", false),
            ("wave_code", "anything", true),
            ("no_code", "2500000000000000", false),
        ] {
            assert_eq!(is_auth_code(scene, code), fits, "{scene} {code}");
        }
    }
}
