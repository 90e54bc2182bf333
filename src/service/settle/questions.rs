//! The questions of a settlement: asked with their class, measured, and kept until they are written
//! down, also those of a try that had to be repeated.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::domain::answer_log::Asked;
use crate::domain::gateway::{Answer, CloseOutcome, UnknownReason};
use crate::domain::payment::Attempt;
use crate::domain::priority::Priority;
use crate::store::payment_queries::{self, PaymentQuery};
use crate::store::{StoreError, WriteTx};

use super::Request;

/// What was asked and isn't written down yet.
#[derive(Debug, Default)]
pub(super) struct Questions(Mutex<Vec<PaymentQuery>>);

impl Questions {
    /// Asks what became of an attempt.
    pub(super) async fn query(&self, app: &App, attempt: &Attempt, priority: Priority) -> Asked {
        let (asked_at, begun) = (app.now(), Instant::now());
        let number = attempt.out_trade_no.as_str();
        let answer = match app.gateway_of(&attempt.account) {
            Some(gateway) => gateway.at(priority).query(number, asked_at).await,
            None => Answer::Unknown(UnknownReason::NotAsked),
        };
        let word = match &answer {
            Answer::Unknown(reason) => reason.code(),
            definite => definite.code(),
        };
        self.note(attempt, ("query", word), asked_at, begun);
        Asked { out_trade_no: attempt.out_trade_no.clone(), asked_at, answer }
    }

    /// Closes an attempt's trade.
    pub(super) async fn close(
        &self,
        app: &App,
        attempt: &Attempt,
        asked_at: DateTime<Utc>,
    ) -> CloseOutcome {
        let begun = Instant::now();
        let number = attempt.out_trade_no.as_str();
        let outcome = match app.gateway_of(&attempt.account) {
            Some(gateway) => gateway.at(Priority::Final).close(number, asked_at).await,
            None => CloseOutcome::Unknown(UnknownReason::NotAsked),
        };
        self.note(attempt, ("close", outcome.code()), asked_at, begun);
        outcome
    }

    fn note(
        &self,
        attempt: &Attempt,
        (call, answer): (&'static str, &'static str),
        asked_at: DateTime<Utc>,
        begun: Instant,
    ) {
        let took_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        let out_trade_no = attempt.out_trade_no.clone();
        self.lock().push(PaymentQuery { out_trade_no, call, answer, asked_at, took_ms });
    }

    /// Writes down what was asked so far; it is kept until [`Self::forget`], for the transaction
    /// may fail.
    pub(super) async fn write(
        &self,
        app: &App,
        tx: &mut WriteTx<'_>,
        request: &Request<'_>,
    ) -> Result<(), StoreError> {
        let asked = self.lock().clone();
        for query in &asked {
            let id = app.fresh_id();
            payment_queries::insert(tx, &id, request.order_id, request.trigger, query).await?;
        }
        Ok(())
    }

    /// What was written is committed.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    /// Writes down what a settlement that came to nothing has asked.
    pub(super) async fn keep(&self, app: &App, request: &Request<'_>) {
        if self.lock().is_empty() {
            return;
        }
        let kept = async {
            let mut tx = app.store.begin().await?;
            self.write(app, &mut tx, request).await?;
            tx.commit().await
        };
        if let Err(error) = kept.await {
            tracing::debug!(order.id = %request.order_id, %error, "what was asked isn't kept");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PaymentQuery>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
