//! The kinds of faults, and where each can strike.

use serde::{Deserialize, Serialize};

use crate::gateway::Method;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    TimeoutBefore,
    UnknownBefore,
    SystemErrorBefore,
    #[serde(rename = "http_502")]
    Http502,
    RateLimited,
    BalanceTooLow,
    AqcSystemErrorBefore,
    AopSystemErrorBefore,
    #[serde(rename = "http_503")]
    Http503,
    NoPermission,
    InvalidAuthToken,
    BusinessFailure,
    TimeoutAfter,
    UnknownAfter,
    SystemErrorAfter,
    AqcSystemErrorAfter,
    AopSystemErrorAfter,
    Reset,
    Truncated,
    Unsigned,
    WrongSign,
    OtherKey,
    ErrorResponse,
    SignedErrorResponse,
    DuplicateNode,
    Slow,
    SlowBody,
    EscapedSlashes,
    SignedEscapedSlashes,
    BracesInStrings,
    GbkSubMsg,
    PaidBefore,
    PaidAfter,
    BuyerMustConfirm,
    ConfirmThenPaid,
    ConfirmThenFailed,
    UnknownThenPaid,
    UnknownThenFailed,
    Gbk,
    ExtraFields,
    BuyerOpenId,
    MissingFields,
    FundChangeAbsent,
    RefundVisibleLate,
    StaleQuery,
    UnknownCertSn,
    BillTruncated,
    BillExtraColumn,
    BillLineMissing,
    BillWrongAmount,
    Drop,
    Delay,
    Duplicate,
    Reorder,
    WrongAmount,
    WrongAppId,
    WrongSellerId,
    BadSignature,
    Sha1Signature,
    OldNotifyTime,
    UnsignedCertSn,
    RefundAsSuccess,
    Replay,
}

/// Where a fault belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Decides what comes of a gateway call: one call has one outcome.
    Outcome,
    /// Changes an answer of the gateway.
    Twist,
    /// Changes a line of a bill; a fault that names a trade hits its lines.
    BillLine,
    /// Changes a delivery of a notification.
    Delivery,
    /// Changes answers and deliveries alike.
    Form,
}

impl Kind {
    pub(super) fn family(self) -> Family {
        match self {
            Self::TimeoutBefore
            | Self::UnknownBefore
            | Self::SystemErrorBefore
            | Self::Http502
            | Self::RateLimited
            | Self::BalanceTooLow
            | Self::AqcSystemErrorBefore
            | Self::AopSystemErrorBefore
            | Self::Http503
            | Self::NoPermission
            | Self::InvalidAuthToken
            | Self::BusinessFailure
            | Self::AqcSystemErrorAfter
            | Self::AopSystemErrorAfter
            | Self::SignedErrorResponse
            | Self::TimeoutAfter
            | Self::UnknownAfter
            | Self::SystemErrorAfter
            | Self::Reset
            | Self::Truncated
            | Self::Unsigned
            | Self::WrongSign
            | Self::OtherKey
            | Self::ErrorResponse
            | Self::DuplicateNode => Family::Outcome,
            Self::Slow
            | Self::SlowBody
            | Self::EscapedSlashes
            | Self::SignedEscapedSlashes
            | Self::BracesInStrings
            | Self::GbkSubMsg
            | Self::PaidBefore
            | Self::PaidAfter
            | Self::BuyerMustConfirm
            | Self::ConfirmThenPaid
            | Self::ConfirmThenFailed
            | Self::UnknownThenPaid
            | Self::UnknownThenFailed
            | Self::MissingFields
            | Self::FundChangeAbsent
            | Self::RefundVisibleLate
            | Self::StaleQuery
            | Self::UnknownCertSn
            | Self::BillTruncated
            | Self::BillExtraColumn => Family::Twist,
            Self::BillLineMissing | Self::BillWrongAmount => Family::BillLine,
            Self::Gbk | Self::ExtraFields | Self::BuyerOpenId => Family::Form,
            Self::Drop
            | Self::Delay
            | Self::Duplicate
            | Self::Reorder
            | Self::WrongAmount
            | Self::WrongAppId
            | Self::WrongSellerId
            | Self::BadSignature
            | Self::Sha1Signature
            | Self::OldNotifyTime
            | Self::UnsignedCertSn
            | Self::RefundAsSuccess
            | Self::Replay => Family::Delivery,
        }
    }

    pub(super) fn is_outcome(self) -> bool {
        self.family() == Family::Outcome
    }

    pub(super) fn concerns(self, method: Method) -> bool {
        match self {
            _ if method.is_shown() => self.concerns_pages(),
            Self::FundChangeAbsent => method == Method::Refund,
            Self::RefundVisibleLate => method == Method::RefundQuery,
            Self::StaleQuery => method == Method::Query,
            Self::BuyerMustConfirm
            | Self::ConfirmThenPaid
            | Self::ConfirmThenFailed
            | Self::UnknownThenPaid
            | Self::UnknownThenFailed => method == Method::Pay,
            Self::PaidBefore | Self::PaidAfter => {
                ![Method::Precreate, Method::BillUrl].contains(&method)
            }
            Self::BillTruncated
            | Self::BillExtraColumn
            | Self::BillLineMissing
            | Self::BillWrongAmount => method == Method::BillUrl,
            _ => self.family() != Family::Delivery,
        }
    }

    /// Whether it can strike a call that a browser makes: there is no signed answer to spoil.
    fn concerns_pages(self) -> bool {
        matches!(
            self,
            Self::TimeoutBefore
                | Self::UnknownBefore
                | Self::SystemErrorBefore
                | Self::Http502
                | Self::Http503
                | Self::RateLimited
                | Self::NoPermission
                | Self::InvalidAuthToken
                | Self::BusinessFailure
                | Self::TimeoutAfter
                | Self::UnknownAfter
                | Self::SystemErrorAfter
                | Self::Reset
                | Self::Slow
        )
    }

    pub(super) fn concerns_notifications(self) -> bool {
        self == Self::OtherKey || matches!(self.family(), Family::Delivery | Family::Form)
    }
}
