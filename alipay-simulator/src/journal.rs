//! The state on disk: a journal of JSON lines, rewritten at start and appended to afterwards.
//!
//! Records are appended in the order of their changes by one thread, many with one fsync. Whoever
//! answers waits until everything up to its position is on disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::books::Record;

const JOURNAL_FILE: &str = "journal.jsonl";
const NEW_JOURNAL_FILE: &str = "journal.new";
const LOCK_FILE: &str = "lock";
/// How long a predecessor that is just ending may hold the lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_RETRY: Duration = Duration::from_millis(20);
/// How many waiting appends are written with one fsync at most.
const MOST_IN_BATCH: usize = 1024;

/// Why a data directory could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("another simulator is using it")]
    Locked,
    #[error("line {line} of {JOURNAL_FILE} is damaged: {source}")]
    Damaged { line: usize, source: serde_json::Error },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Nothing can be promised any more: the journal was closed or the disk refused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the simulator's journal can't be written")]
pub(crate) struct JournalClosed;

/// A data directory that this process holds, not yet written to.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    lock: File,
}

impl Directory {
    /// Takes the directory, creating it if it isn't there. A dead holder's lock is no obstacle.
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        fs::create_dir_all(path)?;
        let options = OpenOptions::new().create(true).truncate(false).write(true).clone();
        let lock = options.open(path.join(LOCK_FILE))?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path: path.to_owned(), lock }),
                Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                    thread::sleep(LOCK_RETRY);
                }
                Err(fs::TryLockError::WouldBlock) => return Err(OpenError::Locked),
                Err(fs::TryLockError::Error(error)) => return Err(error.into()),
            }
        }
    }

    /// The records of the journal. What a crash left of an unfinished last line was never promised
    /// to anyone and is left out.
    pub(crate) fn records(&self) -> Result<Vec<Record>, OpenError> {
        let journal = match fs::read(self.path.join(JOURNAL_FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            journal => journal?,
        };
        let complete = journal.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = journal[..complete].split(|byte| *byte == b'\n');
        let records =
            lines.enumerate().filter(|(_, line)| !line.is_empty()).map(|(index, line)| {
                let damaged = |source| OpenError::Damaged { line: index + 1, source };
                serde_json::from_slice(line).map_err(damaged)
            });
        records.collect()
    }

    /// Replaces the journal by the given records and opens it for more.
    pub(crate) fn start(self, records: &[Record]) -> Result<Journal, OpenError> {
        let new = self.path.join(NEW_JOURNAL_FILE);
        let mut file = File::create(&new)?;
        file.write_all(&lines(records))?;
        file.sync_all()?;
        fs::rename(&new, self.path.join(JOURNAL_FILE))?;
        File::open(&self.path)?.sync_all()?;
        let (appends, inbox) = mpsc::channel();
        let (progress, durable) = watch::channel(0);
        let lock = self.lock;
        let writer = thread::Builder::new().name("journal".to_owned()).spawn(move || {
            write(&mut file, &inbox, &progress);
            drop(lock);
        })?;
        Ok(Journal { appends: Some(appends), durable: Some(durable), writer: Some(writer), end: 0 })
    }
}

enum Append {
    Lines { upto: u64, bytes: Vec<u8> },
    Close,
}

/// The open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    appends: Option<mpsc::Sender<Append>>,
    durable: Option<watch::Receiver<u64>>,
    writer: Option<JoinHandle<()>>,
    end: u64,
}

impl Journal {
    /// No journal: the state lives and dies with the process.
    pub(crate) fn none() -> Self {
        Self { appends: None, durable: None, writer: None, end: 0 }
    }

    /// Queues records; the caller holds the lock under which they came about.
    pub(crate) fn append(&mut self, records: &[Record]) {
        let Some(appends) = self.appends.as_ref().filter(|_| !records.is_empty()) else { return };
        self.end += 1;
        let append = Append::Lines { upto: self.end, bytes: lines(records) };
        // If the writer is gone, whoever waits for these records hears of it.
        let _ = appends.send(append);
    }

    /// A promise about everything that was appended so far.
    pub(crate) fn position(&self) -> Position {
        Position { upto: self.end, durable: self.durable.clone() }
    }

    /// Writes what is queued and lets go of the directory; the handle is there to wait for that.
    pub(crate) fn close(&mut self) -> Option<JoinHandle<()>> {
        if let Some(appends) = &self.appends {
            // A writer that is gone is closed already.
            let _ = appends.send(Append::Close);
        }
        self.writer.take()
    }
}

/// A place in the journal that can be waited for.
#[derive(Debug)]
pub(crate) struct Position {
    upto: u64,
    durable: Option<watch::Receiver<u64>>,
}

impl Position {
    pub(crate) async fn reached(self) -> Result<(), JournalClosed> {
        let Some(mut durable) = self.durable else { return Ok(()) };
        let reached = durable.wait_for(|durable| *durable >= self.upto).await;
        reached.map(drop).map_err(|_| JournalClosed)
    }
}

fn lines(records: &[Record]) -> Vec<u8> {
    let mut lines = Vec::new();
    for record in records {
        serde_json::to_writer(&mut lines, record).expect("a record has only string keys");
        lines.push(b'\n');
    }
    lines
}

fn write(file: &mut File, inbox: &mpsc::Receiver<Append>, progress: &watch::Sender<u64>) {
    while let Ok(first) = inbox.recv() {
        let mut batch = Vec::new();
        let mut written = None;
        let mut closing = false;
        for append in std::iter::once(first).chain(inbox.try_iter()).take(MOST_IN_BATCH) {
            match append {
                Append::Lines { upto, bytes } => {
                    batch.extend_from_slice(&bytes);
                    written = Some(upto);
                }
                Append::Close => {
                    closing = true;
                    break;
                }
            }
        }
        if let Err(error) = file.write_all(&batch).and_then(|()| file.sync_data()) {
            tracing::error!(%error, "the journal can't be written; nothing is answered any more");
            return;
        }
        if let Some(upto) = written {
            progress.send_replace(upto);
        }
        if closing {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Directory, JOURNAL_FILE, JournalClosed, OpenError};
    use crate::books::Record;

    #[tokio::test]
    async fn a_torn_last_line_is_left_out_and_a_damaged_one_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Directory::take(directory.path()).unwrap().start(&[]).unwrap();
        journal.append(&[Record::ClockOffsetMs(7)]);
        assert_eq!(journal.position().reached().await, Ok(()));
        journal.close().unwrap().join().unwrap();

        let file = directory.path().join(JOURNAL_FILE);
        let whole = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{whole}{{\"clock_off")).unwrap();
        let taken = Directory::take(directory.path()).unwrap();
        assert!(matches!(taken.records().unwrap()[..], [Record::ClockOffsetMs(7)]));

        fs::write(&file, format!("{{\"clock_off\n{whole}")).unwrap();
        assert!(matches!(taken.records(), Err(OpenError::Damaged { line: 1, .. })));
    }

    #[tokio::test]
    async fn a_closed_journal_promises_nothing_and_frees_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Directory::take(directory.path()).unwrap().start(&[]).unwrap();
        assert!(matches!(Directory::take(directory.path()), Err(OpenError::Locked)));
        journal.close().unwrap().join().unwrap();
        journal.append(&[Record::ClockOffsetMs(7)]);
        assert_eq!(journal.position().reached().await, Err(JournalClosed));
        assert!(Directory::take(directory.path()).is_ok());
    }
}
