//! The auditor: every invariant as a named check with the offending ids, and beside them what is
//! late. An outage makes things late, not wrong, so only checks decide whether all is well.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::app::{App, to_chrono};
use crate::domain::answer_log::Answers;
use crate::domain::gateway::{Answer, NotPaid};
use crate::domain::ids::OutTradeNo;
use crate::domain::payment::PaymentStatus;
use crate::store::StoreError;
use crate::store::audit::{self as queries, AlarmAges, CancelEvidence};

use super::age_alarms::OUTBOX_AGE_MAX;

/// Cancels that are read at a time.
const PAGE_ROWS: i64 = 1_000;
/// The gateway's times are whole seconds, so a payment may look a second older than it is (ms).
const GATEWAY_TIME_PRECISION_MS: i64 = 1_000;
/// A refund is sent within this time (ms).
const REFUND_SENT_WITHIN_MS: i64 = 60_000;
/// Ages are looked at every minute: an alarm that is missing for longer is late (ms).
const ALARM_SLACK_MS: i64 = 120_000;

/// What an audit found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether no check is violated.
    pub ok: bool,
    /// The invariants.
    pub checks: Vec<Check>,
    /// What took longer than promised; never a violation.
    pub lateness: Vec<Lateness>,
}

/// One invariant.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Its number in the design.
    pub id: &'static str,
    /// What must hold.
    pub name: &'static str,
    /// What violates it.
    pub violations: Vec<String>,
}

/// One promise about time.
#[derive(Clone, Debug, Serialize)]
pub struct Lateness {
    /// Its number in the design.
    pub id: &'static str,
    /// What was promised.
    pub name: &'static str,
    /// What came later.
    pub late: Vec<String>,
}

/// Checks everything.
///
/// # Errors
/// If the database fails.
pub async fn audit(app: &App) -> Result<Report, StoreError> {
    let mut checks = Vec::new();
    for invariant in queries::invariants() {
        let violations = queries::violations(&app.store, invariant).await?;
        checks.push(Check { id: invariant.id, name: invariant.name, violations });
    }
    checks.extend(check_evidence(app).await?);
    let maximum = i64::from(app.config.timeout.broker_check_max);
    checks.push(Check {
        id: "I12",
        name: "a check count at the broker's maximum has an alarm",
        violations: queries::silent_at_maximum(&app.store, maximum).await?,
    });
    checks.push(Check {
        id: "I9",
        name: "each downstream applies each event once: this release has none of its own",
        violations: Vec::new(),
    });
    checks.sort_by_key(|check| check.id[1..].parse::<u32>().unwrap_or(u32::MAX));
    let ok = checks.iter().all(|check| check.violations.is_empty());
    Ok(Report { ok, checks, lateness: lateness(app).await? })
}

/// I7 and I8: every cancel has its evidence, asked for when it was due, and no answer is unknown.
async fn check_evidence(app: &App) -> Result<[Check; 2], StoreError> {
    let mut early = Vec::new();
    let mut unknown = Vec::new();
    let mut after = String::new();
    loop {
        let page = queries::cancels_after(&app.store, &after, PAGE_ROWS).await?;
        for cancel in &page {
            let evidence = Evidence::read(cancel);
            if !evidence.as_ref().is_some_and(|evidence| evidence.is_due(cancel)) {
                early.push(cancel.order_id.clone());
            }
            if !evidence.is_some_and(|evidence| evidence.is_definite(cancel.amount_fen)) {
                unknown.push(cancel.order_id.clone());
            }
        }
        match page.last() {
            Some(last) => after.clone_from(&last.order_id),
            None => break,
        }
    }
    Ok([
        Check {
            id: "I7",
            name: "no cancel before deadline and grace, or a stored request, without evidence",
            violations: early,
        },
        Check { id: "I8", name: "no cancel on an unknown answer", violations: unknown },
    ])
}

#[derive(serde::Deserialize)]
struct Evidence {
    answers: Answers,
    #[serde(default)]
    attempts: Vec<BTreeMap<String, PaymentStatus>>,
    asked_at: chrono::DateTime<chrono::Utc>,
    due_at: chrono::DateTime<chrono::Utc>,
}

impl Evidence {
    fn read(cancel: &CancelEvidence) -> Option<Self> {
        serde_json::from_str(cancel.detail.as_deref()?).ok()
    }

    /// Asked when it was due: past the deadline and the grace of that day, or a stored request.
    fn is_due(&self, cancel: &CancelEvidence) -> bool {
        let due_at_ms = self.due_at.timestamp_millis();
        let expired = due_at_ms >= cancel.expires_at_ms;
        let requested = cancel.cancel_requested_at_ms == Some(due_at_ms);
        let young = self.answers.as_slice().iter().all(|asked| asked.asked_at >= self.asked_at);
        let asked_at_ms = self.asked_at.timestamp_millis();
        (expired || requested)
            && self.asked_at >= self.due_at
            && young
            && cancel.cancelled_at_ms >= asked_at_ms
    }

    /// No answer is unknown, and each attempt that money could come for has one that says that
    /// none came: a payment of the order's own amount is none.
    fn is_definite(&self, amount_fen: i64) -> bool {
        let definite = self.answers.as_slice().iter().all(|asked| asked.answer.is_definite());
        let mut live = self.attempts.iter().flatten().filter(|(_, status)| status.is_live());
        definite
            && live.all(|(number, _)| {
                let asked = self.answers.about(&OutTradeNo::from_trusted(number.as_str()));
                asked.is_some_and(|asked| match &asked.answer {
                    Answer::NotPaid(NotPaid::NotExist | NotPaid::Closed) | Answer::Returned(_) => {
                        true
                    }
                    Answer::Paid(trade) => trade.amount.fen() != amount_fen,
                    Answer::NotPaid(NotPaid::WaitBuyerPay { .. }) | Answer::Unknown(_) => false,
                })
            })
    }
}

async fn lateness(app: &App) -> Result<Vec<Lateness>, StoreError> {
    let interval_ms = app.check_interval().num_milliseconds();
    let grace_ms = app.policy().grace.num_milliseconds();
    let applied_ms = 2 * interval_ms + GATEWAY_TIME_PRECISION_MS;
    let now_ms = app.now().timestamp_millis();
    let cancels = queries::late_cancels(&app.store, grace_ms + 4 * interval_ms, now_ms).await?;
    let cancels: Vec<_> = cancels.into_iter().map(|id| id.to_string()).collect();
    Ok(vec![
        Lateness {
            id: "L1",
            name: "a payment is recorded within two check intervals of the money",
            late: queries::late_applications(&app.store, applied_ms).await?,
        },
        Lateness {
            id: "L2",
            name: "an unpaid order ends within grace and four check intervals of its deadline",
            late: cancels.clone(),
        },
        Lateness { id: "L3", name: "its stock is back with it", late: cancels },
        Lateness {
            id: "L4",
            name: "a refund is sent within a minute",
            late: queries::late_refunds(&app.store, REFUND_SENT_WITHIN_MS, now_ms).await?,
        },
        Lateness {
            id: "L5",
            name: "what is unfinished for too long has an alarm",
            late: queries::silent(&app.store, &alarm_ages(app, now_ms)).await?,
        },
    ])
}

/// What began before these times should have opened its alarm.
fn alarm_ages(app: &App, now_ms: i64) -> AlarmAges {
    let before = |age: chrono::Duration| now_ms - age.num_milliseconds() - ALARM_SLACK_MS;
    let overdue = app.policy().overdue_alarm_after;
    AlarmAges {
        orders_before_ms: before(app.policy().grace + overdue),
        attempts_before_ms: before(overdue),
        refunds_before_ms: before(to_chrono(app.config.refund.alarm_after)),
        events_before_ms: before(OUTBOX_AGE_MAX),
    }
}

impl Report {
    /// The violated checks with their ids, for messages.
    #[must_use]
    pub fn violated(&self) -> BTreeMap<&'static str, &[String]> {
        let violated = self.checks.iter().filter(|check| !check.violations.is_empty());
        violated.map(|check| (check.name, check.violations.as_slice())).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{CancelEvidence, Evidence};
    use crate::domain::gateway::{Answer, NotPaid, PaidTrade, UnknownReason};
    use crate::domain::money::Fen;

    fn time(second: i64) -> Value {
        json!(chrono::DateTime::from_timestamp(second, 0).expect("a time"))
    }

    fn answer(asked_at: i64, answer: &Value) -> Value {
        json!({ "out_trade_no": "CB1", "asked_at": time(asked_at), "answer": answer })
    }

    fn not_exist() -> Value {
        json!(Answer::NotPaid(NotPaid::NotExist))
    }

    /// Due at second 60, asked at 65, cancelled at 66.
    fn detail() -> Value {
        json!({
            "due_at": time(60),
            "asked_at": time(65),
            "answers": [answer(65, &not_exist())],
        })
    }

    fn cancel(requested: Option<i64>, detail: &Value) -> CancelEvidence {
        CancelEvidence {
            order_id: "B".to_owned(),
            expires_at_ms: 60_000,
            amount_fen: 1_000,
            cancel_requested_at_ms: requested.map(|second| second * 1_000),
            cancelled_at_ms: 66_000,
            detail: Some(detail.to_string()),
        }
    }

    /// Whether it is due and definite; `None`: it is no evidence at all.
    fn judged(cancel: &CancelEvidence) -> Option<(bool, bool)> {
        let evidence = Evidence::read(cancel)?;
        Some((evidence.is_due(cancel), evidence.is_definite(cancel.amount_fen)))
    }

    fn with(field: &str, value: Value) -> Value {
        let mut detail = detail();
        detail[field] = value;
        detail
    }

    #[test]
    fn evidence_is_due_past_the_deadline_or_the_stored_request() {
        let requested_at_30 = with("due_at", time(30));
        let cases = [
            ("past the deadline", cancel(None, &detail()), true),
            ("past a later request, too", cancel(Some(62), &detail()), true),
            ("past a request before the deadline", cancel(Some(30), &requested_at_30), true),
            ("before the deadline, unrequested", cancel(None, &requested_at_30), false),
            ("by another request than is stored", cancel(Some(31), &requested_at_30), false),
            ("asked before it was due", cancel(None, &with("due_at", time(66))), false),
            (
                "asked before it was due, by an early request",
                cancel(Some(66), &with("due_at", time(66))),
                false,
            ),
            (
                "an answer that is older than the round",
                cancel(None, &with("answers", json!([answer(64, &not_exist())]))),
                false,
            ),
            (
                "one of two answers is older",
                cancel(
                    None,
                    &with("answers", json!([answer(65, &not_exist()), answer(64, &not_exist())])),
                ),
                false,
            ),
            ("without an attempt", cancel(None, &with("answers", json!([]))), true),
            (
                "cancelled before it was asked",
                CancelEvidence { cancelled_at_ms: 64_999, ..cancel(None, &detail()) },
                false,
            ),
        ];
        for (what, cancel, due) in cases {
            assert_eq!(judged(&cancel), Some((due, true)), "{what}");
        }
    }

    #[test]
    fn one_unknown_answer_is_not_definite() {
        let trade_no = "2023".to_owned();
        let waits = json!(Answer::NotPaid(NotPaid::WaitBuyerPay { trade_no }));
        let closed = json!(Answer::NotPaid(NotPaid::Closed));
        let unknown = json!(Answer::Unknown(UnknownReason::Timeout));
        for (answers, definite) in [
            (vec![], true),
            (vec![&closed], true),
            (vec![&closed, &waits], true),
            (vec![&unknown], false),
            (vec![&closed, &unknown], false),
            (vec![&unknown, &closed], false),
        ] {
            let answers: Vec<_> = answers.into_iter().map(|said| answer(65, said)).collect();
            let cancel = cancel(None, &with("answers", json!(answers)));
            assert_eq!(judged(&cancel), Some((true, definite)), "{cancel:?}");
        }
    }

    #[test]
    fn each_attempt_that_money_could_come_for_was_asked_about() {
        let trade_no = "2023".to_owned();
        let waits = Answer::NotPaid(NotPaid::WaitBuyerPay { trade_no: trade_no.clone() });
        let paid = |fen| {
            let amount = Fen::new(fen).expect("an amount");
            Answer::Paid(PaidTrade { amount, trade_no: trade_no.clone(), paid_at: None })
        };
        for (said, status, definite) in [
            (None, "closed", true),
            (None, "created", false),
            (None, "waiting", false),
            (Some(Answer::NotPaid(NotPaid::Closed)), "waiting", true),
            (Some(waits), "waiting", false),
            (Some(paid(1_000)), "waiting", false),
            (Some(paid(999)), "waiting", true),
        ] {
            let answers: Vec<_> = said.iter().map(|said| answer(65, &json!(said))).collect();
            let mut detail = with("answers", json!(answers));
            detail["attempts"] = json!([{ "CB1": status }]);
            assert_eq!(judged(&cancel(None, &detail)), Some((true, definite)), "{said:?} {status}");
        }
    }

    #[test]
    fn a_cancel_without_readable_evidence_has_none() {
        let whole = cancel(None, &detail());
        assert!(judged(&whole).is_some());
        for detail in [None, Some(String::new()), Some("{}".to_owned())] {
            let cancel = CancelEvidence { detail, ..whole.clone() };
            assert_eq!(judged(&cancel), None, "{cancel:?}");
        }
        for field in ["answers", "asked_at", "due_at"] {
            let cancel = cancel(None, &with(field, Value::Null));
            assert_eq!(judged(&cancel), None, "{field}");
        }
    }
}
