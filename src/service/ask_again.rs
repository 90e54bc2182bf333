//! An operator asks the gateway about an order without waiting for its next trigger.

use crate::app::App;
use crate::domain::ids::OrderId;
use crate::domain::trigger::Trigger;
use crate::store::StoreError;

use super::settle::{Outcome, Request, settle};

/// Settles an order now; whatever it changes stands in the history under the operator's name.
///
/// # Errors
/// If the database fails.
pub async fn ask_again(
    app: &App,
    order_id: &OrderId,
    operator: &str,
) -> Result<Outcome, StoreError> {
    let request =
        Request { order_id, trigger: Trigger::Http, actor: operator, named: None, notified: None };
    let outcome = settle(app, &request).await?;
    tracing::info!(order.id = %order_id, operator, ?outcome, "an operator asked the gateway");
    Ok(outcome)
}
