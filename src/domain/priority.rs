//! Whose question to the gateway comes first.

/// Which calls are made first when there are more than the gateway allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// It ends an order, or closes a trade.
    Final,
    /// A person or the gateway's notification waits for the answer; money goes back.
    Waited,
    /// A check while the window is open, and what ended orders have left.
    #[default]
    Routine,
    /// Last looks and bills.
    Background,
}

impl Priority {
    /// Every class, first served first.
    pub const ALL: [Self; 4] = [Self::Final, Self::Waited, Self::Routine, Self::Background];

    /// The name in the metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::Waited => "waited",
            Self::Routine => "routine",
            Self::Background => "background",
        }
    }
}
