//! What woke the service up. Every trigger runs the same use case; it is named in the history.

use std::fmt;

/// The cause of a settlement, as it stands in an order's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The broker asked the transaction listener about a half message.
    CheckBack,
    /// The committed message reached the cancel consumer.
    CancelConsumer,
    /// A delayed message came.
    PaymentCheck,
    /// The gateway's webhook.
    Notify,
    /// The light poll over overdue rows of the pending table.
    Poll,
    /// The fallback sweep.
    Sweep,
    /// A caller of the HTTP API.
    Http,
    /// The gateway's daily bill.
    Reconcile,
}

impl Trigger {
    /// The name in history rows and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CheckBack => "check_back",
            Self::CancelConsumer => "cancel_consumer",
            Self::PaymentCheck => "payment_check",
            Self::Notify => "notify",
            Self::Poll => "poll",
            Self::Sweep => "sweep",
            Self::Http => "http",
            Self::Reconcile => "reconcile",
        }
    }

    /// Whether this trigger writes a cancel itself.
    ///
    /// A check-back doesn't: it answers *commit*, and the committed message cancels. A notification
    /// doesn't either: it only ever says that something was paid.
    #[must_use]
    pub fn writes_cancel(self) -> bool {
        match self {
            Self::CheckBack | Self::Notify => false,
            Self::CancelConsumer
            | Self::PaymentCheck
            | Self::Poll
            | Self::Sweep
            | Self::Http
            | Self::Reconcile => true,
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
