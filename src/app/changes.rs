//! Tells open pages that an order has changed, whether this instance changed it or another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, watch};

use crate::domain::ids::OrderId;

/// Changes that a slow listener may miss before it has to read everything again.
const CHANGES_KEPT: usize = 1_024;

/// Tells whoever listens that an order has changed.
#[derive(Debug)]
pub struct Changes {
    all: broadcast::Sender<OrderId>,
    watched: Arc<Watched>,
}

/// The orders that somebody watches. Only they are woken up: a page costs nothing while others'
/// orders change.
#[derive(Debug, Default)]
struct Watched(Mutex<HashMap<OrderId, watch::Sender<()>>>);

impl Default for Changes {
    fn default() -> Self {
        Self { all: broadcast::Sender::new(CHANGES_KEPT), watched: Arc::default() }
    }
}

impl Changes {
    /// Tells that an order has changed; nobody may be listening.
    pub fn announce(&self, order_id: &OrderId) {
        if let Some(watchers) = self.watched.lock().get(order_id) {
            watchers.send_replace(());
        }
        // An error only says that nobody listens.
        if self.all.send(order_id.clone()).is_err() {
            tracing::trace!(order.id = %order_id, "nobody listens to all changes");
        }
    }

    /// Listens to the changes of all orders from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<OrderId> {
        self.all.subscribe()
    }

    /// Watches one order from now on.
    #[must_use]
    pub fn watch(&self, order_id: &OrderId) -> OrderWatch {
        let changed = self.watched.lock().entry(order_id.clone()).or_default().subscribe();
        let (order_id, watched) = (order_id.clone(), Arc::clone(&self.watched));
        OrderWatch { order_id, changed: Some(changed), watched }
    }

    /// Whether anybody would hear of a change.
    #[must_use]
    pub fn has_listeners(&self) -> bool {
        self.all.receiver_count() > 0 || !self.watched.lock().is_empty()
    }
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, HashMap<OrderId, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One order, watched as long as this lives.
#[derive(Debug)]
pub struct OrderWatch {
    order_id: OrderId,
    /// There until it is dropped.
    changed: Option<watch::Receiver<()>>,
    watched: Arc<Watched>,
}

impl OrderWatch {
    /// Returns when a change was announced since the last return, or since the watch began.
    pub async fn changed(&mut self) {
        let told = match &mut self.changed {
            Some(changed) => changed.changed().await.is_ok(),
            None => false,
        };
        if !told {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for OrderWatch {
    fn drop(&mut self) {
        let mut watched = self.watched.lock();
        drop(self.changed.take());
        if watched.get(&self.order_id).is_some_and(|watchers| watchers.receiver_count() == 0) {
            watched.remove(&self.order_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn is_told(watch: &mut OrderWatch) -> bool {
        tokio::time::timeout(Duration::from_millis(20), watch.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn a_watch_is_told_of_its_own_order_only_and_of_many_changes_once() {
        let changes = Changes::default();
        let (ours, theirs) = (OrderId::from_trusted("OURS"), OrderId::from_trusted("THEIRS"));
        assert!(!changes.has_listeners());
        let mut watches = [changes.watch(&ours), changes.watch(&ours)];
        changes.announce(&theirs);
        assert!(!is_told(&mut watches[0]).await);
        changes.announce(&ours);
        changes.announce(&ours);
        for watch in &mut watches {
            assert!(is_told(watch).await);
            assert!(!is_told(watch).await);
        }
        let [one, mut other] = watches;
        drop(one);
        changes.announce(&ours);
        assert!(changes.has_listeners() && is_told(&mut other).await);
        drop(other);
        assert!(!changes.has_listeners(), "nothing is kept about an order that nobody watches");
        let mut all = changes.subscribe();
        changes.announce(&theirs);
        assert!(changes.has_listeners() && all.recv().await == Ok(theirs));
    }
}
