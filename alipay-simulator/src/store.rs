//! The way to the books: one change at a time, and no answer before it is on disk.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use crate::books::{Books, Record};
use crate::clock::Clock;
use crate::journal::{Journal, JournalClosed};

/// The books behind their lock, with the journal and the clock.
#[derive(Debug)]
pub(crate) struct Store {
    inner: Mutex<Inner>,
    clock: Clock,
    agenda_changed: Notify,
}

#[derive(Debug)]
struct Inner {
    books: Books,
    journal: Journal,
}

impl Store {
    pub(crate) fn new(books: Books, journal: Journal) -> Self {
        let clock = Clock::new(books.clock_offset_ms());
        let inner = Mutex::new(Inner { books, journal });
        Self { inner, clock, agenda_changed: Notify::new() }
    }

    /// Reads and changes the books in one step, then waits until the change, and every earlier one
    /// that it may have seen, is durable. The change happens even if the caller goes away then.
    pub(crate) async fn visit<T>(
        &self,
        visit: impl FnOnce(&mut Books, DateTime<Utc>) -> T,
    ) -> Result<T, JournalClosed> {
        let (answer, position) = {
            let mut inner = self.lock();
            let answer = visit(&mut inner.books, self.clock.now());
            let records = inner.books.take_unsaved();
            self.clock.set_offset_ms(inner.books.clock_offset_ms());
            inner.journal.append(&records);
            if records.iter().any(is_for_the_agenda) {
                self.agenda_changed.notify_one();
            }
            (answer, inner.journal.position())
        };
        position.reached().await?;
        Ok(answer)
    }

    /// Looks something up without waiting for the disk; nothing may be answered from it.
    pub(crate) fn peek<T>(&self, peek: impl FnOnce(&Books) -> T) -> T {
        peek(&self.lock().books)
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Returns once there may be another notification to send.
    pub(crate) async fn agenda_changed(&self) {
        self.agenda_changed.notified().await;
    }

    /// Ends the journal: whatever waits for it or comes later fails.
    pub(crate) fn close(&self) -> Option<std::thread::JoinHandle<()>> {
        self.lock().journal.close()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a change may call for something to be done at another time than before.
fn is_for_the_agenda(record: &Record) -> bool {
    match record {
        Record::Trade(trade) => trade.confirmation.is_some(),
        Record::Notification(_) | Record::ClockOffsetMs(_) | Record::Rules(_) => true,
    }
}
