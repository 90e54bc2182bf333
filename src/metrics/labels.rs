//! The labels of the metrics.

use prometheus_client::encoding::EncodeLabelSet;

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($field:ident),+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub struct $name {
            $(
                /// The label of this name.
                pub $field: String,
            )+
        }
    };
}

label!(
    /// What became of an order.
    OutcomeLabel { outcome }
);
label!(
    /// The answer to the broker: to a check-back, or to a delivery.
    AnswerLabel { answer }
);
label!(
    /// A gateway call and its result.
    CallLabel { method, result }
);
label!(
    /// Who is served first: `final`, `waited`, `routine` or `background`.
    ClassLabel { class }
);
label!(
    /// A gateway method.
    MethodLabel { method }
);
label!(
    /// What became of a notification.
    EffectLabel { effect }
);
label!(
    /// A recorded payment: its status, and whether the gateway dates it before the deadline or
    /// the request to cancel; for an orphan there is neither.
    PaymentLabel { status, in_time }
);
label!(
    /// A refund that ended: why it was made, and whether it `succeeded` or was `refused`.
    RefundLabel { cause, result }
);
label!(
    /// Why something was refused.
    ReasonLabel { reason }
);
label!(
    /// Whose half message it was: of a `waiting` order, an `ended` one, or of `none`.
    GivenUpLabel { order }
);
label!(
    /// How a bill stands: `pending`, `clean`, `differences`, `missing`.
    StateLabel { state }
);
label!(
    /// A kind of alarm.
    KindLabel { kind }
);
label!(
    /// An invariant of the design.
    CheckLabel { check }
);
label!(
    /// A promise about time.
    PromiseLabel { promise }
);
label!(
    /// The configuration's key of a certificate.
    CertificateLabel { certificate }
);
label!(
    /// An HTTP route and the status it answered.
    RouteLabel { method, route, status }
);
