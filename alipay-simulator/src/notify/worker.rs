//! Delivers what the agenda says, when the virtual clock says so.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::CONTENT_TYPE;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::message::Message;
use super::{ANSWER_TIMEOUT, Attempt, MOST_ANSWER_BYTES, MOST_AT_ONCE, Notification};
use crate::books::Books;
use crate::faults::{Hits, Kind};
use crate::journal::JournalClosed;
use crate::server::Shared;

/// How long to sleep at most: the system's clock may jump.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How long `delay` and `reorder` put a delivery off unless told otherwise.
const DEFAULT_DELAY: TimeDelta = TimeDelta::seconds(5);

/// Delivers notifications until cancelled, one at a time for each trade.
pub(crate) async fn run(shared: Arc<Shared>, client: reqwest::Client, stop: CancellationToken) {
    let mut busy = HashSet::new();
    let mut deliveries = JoinSet::new();
    loop {
        let free = MOST_AT_ONCE - deliveries.len();
        let look = |books: &mut Books, now| {
            let next_buyer = books.act_for_buyers(now);
            (look(books, &busy, free, now), next_buyer, now)
        };
        let Ok((agenda, next_buyer, now)) = shared.store.visit(look).await else { return };
        let until = |at: DateTime<Utc>| (at - now).to_std().unwrap_or_default();
        let mut pause = next_buyer.map_or(LONGEST_SLEEP, until).min(LONGEST_SLEEP);
        for (due_at, notification) in agenda {
            if due_at > now {
                pause = pause.min(until(due_at));
                break;
            }
            busy.insert(notification.out_trade_no.clone());
            deliveries.spawn(deliver(Arc::clone(&shared), client.clone(), notification));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.store.agenda_changed() => {}
            () = tokio::time::sleep(pause) => {}
            Some(delivered) = deliveries.join_next() => match delivered {
                Ok(out_trade_no) => { busy.remove(&out_trade_no); }
                // Its trade stays busy: sent again, it would only die again.
                Err(error) => tracing::error!(%error, "a delivery has died"),
            },
        }
    }
}

/// What is to be sent. Under some rules trades that time ends are told of, and time passes only
/// for those that somebody looks at.
fn look(
    books: &mut Books,
    busy: &HashSet<String>,
    most: usize,
    now: DateTime<Utc>,
) -> Vec<(DateTime<Utc>, Notification)> {
    if books.rules().notify_timeout || books.rules().notify_finished {
        books.all_trades(now);
    }
    books.agenda(busy, most)
}

/// Makes one delivery of the schedule and returns the trade it was about.
async fn deliver(
    shared: Arc<Shared>,
    client: reqwest::Client,
    notification: Notification,
) -> String {
    let number = notification.out_trade_no.clone();
    let hits = shared.faults.draw_notification(&notification);
    let delays = [Kind::Delay, Kind::Reorder];
    let delay = delays.into_iter().find_map(|kind| Some((kind, hits.delay(kind, DEFAULT_DELAY)?)));
    let outcome = match delay {
        Some((kind, delay)) => put_off(&shared, &notification, kind, delay).await,
        None => send(&shared, &client, notification, &hits).await,
    };
    if outcome.is_err() {
        tracing::warn!(out_trade_no = number, "the journal is closed; a delivery will be repeated");
    }
    number
}

async fn put_off(
    shared: &Shared,
    notification: &Notification,
    kind: Kind,
    delay: TimeDelta,
) -> Result<(), JournalClosed> {
    let id = &notification.notify_id;
    let change = |notification: &mut Notification, now| {
        notification.put_off = Some(kind);
        notification.due_at = Some(now + delay);
    };
    shared.store.visit(|books, now| edit(books, id, |one| change(one, now))).await
}

async fn send(
    shared: &Shared,
    client: &reqwest::Client,
    notification: Notification,
    hits: &Hits,
) -> Result<(), JournalClosed> {
    let message = Message::new(shared, &notification, shared.store.now(), hits);
    let attempts = if hits.has(Kind::Drop) {
        vec![dropped(shared.store.now())]
    } else {
        let first = post(shared, client, &notification.url, &message).await;
        let acknowledged = first.problem.is_none();
        let mut attempts = vec![first];
        let replays = hits.count(Kind::Replay) * usize::from(acknowledged);
        for _ in 0..hits.count(Kind::Duplicate) + replays {
            attempts.push(post(shared, client, &notification.url, &message).await);
        }
        attempts
    };
    shared
        .store
        .visit(|books, now| {
            edit(books, &notification.notify_id, |one| one.record(attempts));
            release_held(books, &notification, now);
        })
        .await
}

/// What `reorder` put off for this trade comes right after its successor.
fn release_held(books: &mut Books, sent: &Notification, now: DateTime<Utc>) {
    let held = books.notifications_of(&sent.out_trade_no).into_iter().filter(|one| {
        one.put_off == Some(Kind::Reorder)
            && one.notify_id != sent.notify_id
            && one.created_at <= sent.created_at
    });
    let held: Vec<_> = held.map(|one| one.notify_id.clone()).collect();
    for id in held {
        edit(books, &id, |one| one.due_at = Some(now));
    }
}

fn edit(books: &mut Books, notify_id: &str, change: impl FnOnce(&mut Notification)) {
    if let Some(mut notification) = books.notification(notify_id).cloned() {
        change(&mut notification);
        books.save_notification(notification);
    }
}

fn dropped(at: DateTime<Utc>) -> Attempt {
    Attempt { at, answered: None, problem: Some("dropped by a fault".to_owned()) }
}

async fn post(shared: &Shared, client: &reqwest::Client, url: &str, message: &Message) -> Attempt {
    let at = shared.store.now();
    let any_case = shared.store.peek(|books| books.rules().success_in_any_case);
    let is_success =
        |body: &[u8]| body == b"success" || (any_case && body.eq_ignore_ascii_case(b"success"));
    let exchange = exchange(client, url, message);
    let (answered, problem) = match tokio::time::timeout(ANSWER_TIMEOUT, exchange).await {
        Ok(Ok((200, body))) if is_success(&body) => (Some(body), None),
        Ok(Ok((200, body))) => (Some(body), Some("the answer isn't success".to_owned())),
        Ok(Ok((status, body))) => (Some(body), Some(format!("the status is {status}"))),
        Ok(Err(error)) => (None, Some(error.without_url().to_string())),
        Err(_) => (None, Some(format!("no answer within {ANSWER_TIMEOUT:?}"))),
    };
    let answered = answered.map(|body| String::from_utf8_lossy(&body).into_owned());
    Attempt { at, answered, problem }
}

async fn exchange(
    client: &reqwest::Client,
    url: &str,
    message: &Message,
) -> reqwest::Result<(u16, Vec<u8>)> {
    let request = client.post(url).header(CONTENT_TYPE, &message.content_type);
    let mut answer = request.body(message.form.clone()).send().await?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MOST_ANSWER_BYTES {
            body.truncate(MOST_ANSWER_BYTES);
            break;
        }
    }
    Ok((answer.status().as_u16(), body))
}
