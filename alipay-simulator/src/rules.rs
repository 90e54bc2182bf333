//! What the real gateway leaves open, or does only sometimes: rules that tests change.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fields::FieldError;
use crate::gateway::Method;
use crate::money::Fen;

/// The rules in force. They are kept over a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in the settings")]
pub(crate) struct Rules {
    /// How far the timestamp of a call may be off, in ms; any well-formed one without it.
    pub(crate) timestamp_window_ms: Option<u32>,
    /// Whether a call has to name its charset; else it is GBK.
    pub(crate) charset_required: bool,
    /// Where refused calls put their node.
    pub(crate) refusal_form: RefusalForm,
    /// What stands before the token in a QR code; without it, the address of the buyer's page.
    pub(crate) qr_prefix: Option<String>,
    /// How many calls of one method are admitted in a second.
    pub(crate) calls_per_second: Option<u32>,
    /// Methods that the application may not call.
    pub(crate) forbidden_methods: Vec<String>,
    /// The `sub_code` for closing what is paid or closed.
    pub(crate) close_refusal: CloseRefusal,
    /// Whether closing a code that nobody scanned makes it unpayable.
    pub(crate) close_locks_unscanned_code: bool,
    /// What cancelling a closed trade answers as `action`.
    pub(crate) cancel_action_of_closed: Option<CancelAction>,
    /// What can be refunded altogether, in yuan; refunds and cancels use it up.
    #[serde(with = "yuan")]
    pub(crate) merchant_balance: Option<Fen>,
    /// How long a payment can be refunded; then it is finished.
    pub(crate) refund_window_ms: u64,
    /// The least time between two refunds of one trade.
    pub(crate) refund_spacing_ms: u32,
    /// Whether a payment is finished at once: a contract without refunds.
    pub(crate) finished_when_paid: bool,
    /// Whether the merchant is told of a scan.
    pub(crate) notify_scan: bool,
    /// Whether the merchant is told of a close.
    pub(crate) notify_close: bool,
    /// Whether the merchant is told of a trade that times out.
    pub(crate) notify_timeout: bool,
    /// Whether the merchant is told when a payment is finished.
    pub(crate) notify_finished: bool,
    /// Whether the merchant is told of the refund that returns the last of the money.
    pub(crate) notify_full_refund: bool,
    /// Whether `SUCCESS` acknowledges a notification, too.
    pub(crate) success_in_any_case: bool,
}

/// The ways of the gateway to refuse a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RefusalForm {
    /// In the node of the method, like any answer.
    MethodNode,
    ErrorResponse,
    UnsignedErrorResponse,
}

/// Both kinds of codes for a close that comes too late are on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CloseRefusal {
    #[serde(rename = "ACQ.TRADE_STATUS_ERROR")]
    StatusError,
    #[serde(rename = "ACQ.REASON_TRADE_STATUS_INVALID")]
    StatusInvalid,
    #[serde(rename = "ACQ.REASON_ILLEGAL_STATUS")]
    IllegalStatus,
}

/// What a cancel says that it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CancelAction {
    Close,
    Refund,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            timestamp_window_ms: None,
            charset_required: true,
            refusal_form: RefusalForm::MethodNode,
            qr_prefix: None,
            calls_per_second: None,
            forbidden_methods: Vec::new(),
            close_refusal: CloseRefusal::StatusError,
            close_locks_unscanned_code: false,
            cancel_action_of_closed: None,
            merchant_balance: None,
            refund_window_ms: 365 * 24 * 3600 * 1000,
            refund_spacing_ms: 0,
            finished_when_paid: false,
            notify_scan: false,
            notify_close: true,
            notify_timeout: false,
            notify_finished: false,
            notify_full_refund: true,
            success_in_any_case: false,
        }
    }
}

impl Rules {
    /// These rules with some of them replaced.
    pub(crate) fn with(&self, changes: Value) -> Result<Self, FieldError> {
        let invalid = |error: serde_json::Error| FieldError::new("body", error.to_string());
        let mut rules = serde_json::to_value(self).map_err(invalid)?;
        if let (Value::Object(rules), Value::Object(changes)) = (&mut rules, changes) {
            rules.extend(changes);
        }
        let rules: Self = serde_json::from_value(rules).map_err(invalid)?;
        match rules.forbidden_methods.iter().find(|name| Method::parse(name).is_none()) {
            Some(name) => Err(FieldError::new("forbidden_methods", format!("has {name}"))),
            None => Ok(rules),
        }
    }

    /// Whether the merchant can give so much back.
    pub(crate) fn balance_covers(&self, amount: Fen) -> bool {
        self.merchant_balance.is_none_or(|balance| balance >= amount)
    }

    pub(crate) fn refund_window(&self) -> TimeDelta {
        i64::try_from(self.refund_window_ms)
            .ok()
            .and_then(TimeDelta::try_milliseconds)
            .unwrap_or(TimeDelta::MAX)
    }

    pub(crate) fn refund_spacing(&self) -> TimeDelta {
        TimeDelta::milliseconds(self.refund_spacing_ms.into())
    }
}

impl CloseRefusal {
    pub(crate) fn sub_code(self) -> &'static str {
        match self {
            Self::StatusError => "ACQ.TRADE_STATUS_ERROR",
            Self::StatusInvalid => "ACQ.REASON_TRADE_STATUS_INVALID",
            Self::IllegalStatus => "ACQ.REASON_ILLEGAL_STATUS",
        }
    }
}

impl CancelAction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Refund => "refund",
        }
    }
}

/// An amount as a text in yuan, nothing included.
mod yuan {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::money::Fen;

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(
        amount: &Option<Fen>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match amount {
            Some(amount) => serializer.collect_str(amount),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Fen>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let amount = Fen::parse_yuan_from_zero(&text);
        amount.map(Some).ok_or_else(|| D::Error::custom(format!("{text} is no amount in yuan")))
    }
}
