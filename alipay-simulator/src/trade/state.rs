//! The words for a trade.

use serde::{Deserialize, Serialize};

/// Alipay's `trade_status`, and the time before the buyer scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum State {
    NotScanned,
    WaitBuyerPay,
    TradeSuccess,
    TradeFinished,
    TradeClosed,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotScanned => "NOT_SCANNED",
            Self::WaitBuyerPay => "WAIT_BUYER_PAY",
            Self::TradeSuccess => "TRADE_SUCCESS",
            Self::TradeFinished => "TRADE_FINISHED",
            Self::TradeClosed => "TRADE_CLOSED",
        }
    }
}

/// How the buyer comes to a trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Product {
    /// Scans the merchant's code.
    #[default]
    Code,
    /// Shows a code, which the merchant scans.
    Barcode,
    /// Is sent to the cashier by a site for computers.
    Page,
    /// Is sent to the cashier by a site for telephones.
    Wap,
}
