//! Notes that the gateway has shown a trade for an attempt, in words other than a query's: from now
//! on *not exist* can't be true for it.

use serde_json::json;

use crate::app::App;
use crate::domain::ids::{OrderId, OutTradeNo};
use crate::domain::trigger::Trigger;
use crate::store::history::Entry;
use crate::store::{StoreError, history, orders, payments};

/// How often a lost race is tried again.
const TRIES_MAX: u32 = 8;

/// Notes it, unless it is noted already or the attempt has ended.
///
/// # Errors
/// If the database fails.
pub async fn note_seen(
    app: &App,
    order_id: &OrderId,
    out_trade_no: &OutTradeNo,
    trade_no: Option<&str>,
    trigger: Trigger,
) -> Result<(), StoreError> {
    for _ in 0..TRIES_MAX {
        let Some(read) = orders::find(&app.store, order_id).await? else { return Ok(()) };
        let now = app.now();
        let mut tx = app.store.begin().await?;
        if !orders::bump(&mut tx, &read.order, now).await? {
            tx.rollback().await?;
            continue;
        }
        if !payments::mark_waiting(&mut tx, out_trade_no, trade_no, now).await? {
            return tx.rollback().await;
        }
        let status = read.order.status;
        let detail = json!({ "out_trade_no": out_trade_no, "trade_no": trade_no });
        let entry = Entry { cause: "payment_waiting", from: Some(status), to: status, detail };
        let actor = trigger.as_str();
        history::append(&mut tx, order_id, read.order.version + 1, actor, &[entry], now).await?;
        tx.commit().await?;
        app.changes.announce(order_id);
        return Ok(());
    }
    Err(StoreError::Busy("the order keeps changing".into()))
}
