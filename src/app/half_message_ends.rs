//! The way to half messages that can be ended before the broker asks about them.

use std::fmt;
use std::sync::OnceLock;

use crate::domain::ids::OrderId;

/// Has the half message of an order ended: delivered if what it says has come true, else dropped.
/// Answers whether it will be; otherwise the broker asks.
pub type EndHalfMessage = Box<dyn Fn(&OrderId, bool) -> bool + Send + Sync>;

/// Whoever ends half messages, once there is somebody: a tool without a broker has nobody.
#[derive(Default)]
pub struct HalfMessageEnds(OnceLock<EndHalfMessage>);

impl fmt::Debug for HalfMessageEnds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HalfMessageEnds").field("is_set", &self.0.get().is_some()).finish()
    }
}

impl HalfMessageEnds {
    /// Says who ends them. `false`: somebody does already.
    #[must_use]
    pub fn set(&self, end: EndHalfMessage) -> bool {
        self.0.set(end).is_ok()
    }

    /// Whether the half message is going to be ended now.
    pub(super) fn end(&self, order_id: &OrderId, has_come_true: bool) -> bool {
        self.0.get().is_some_and(|end| end(order_id, has_come_true))
    }
}
