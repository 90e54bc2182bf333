//! The row of a payment with our prefix that belongs to no attempt: an orphan.

use crate::app::App;
use crate::domain::gateway::PaidTrade;
use crate::domain::ids::OutTradeNo;
use crate::domain::money::Fen;
use crate::domain::payment::{AccountRef, Attempt, PaymentStatus};
use crate::store::payments::PaymentRecord;

pub(super) fn orphan(
    app: &App,
    out_trade_no: &str,
    trade: &PaidTrade,
    account: AccountRef,
) -> PaymentRecord {
    let now = app.now();
    PaymentRecord {
        attempt: Attempt {
            out_trade_no: OutTradeNo::from_trusted(out_trade_no),
            status: PaymentStatus::Orphan,
            amount: trade.amount,
            seen: true,
            paid: true,
            refunded: Fen::ZERO,
            refunding: Fen::ZERO,
            code_dies_at: now,
            account,
        },
        order_id: None,
        channel: super::request_payment::CHANNEL.to_owned(),
        subject: String::new(),
        trade_no: Some(trade.trade_no.clone()),
        qr_code: None,
        expires_at: now,
        paid: Some(trade.amount),
        paid_at: trade.paid_at,
        created_at: now,
    }
}
