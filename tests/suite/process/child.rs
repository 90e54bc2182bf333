//! A process of a test: its logs go to files, and it never outlives the test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Pause between two looks at a condition.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Lines of a process's log that a failing test shows.
const TAIL_LINES: usize = 60;

/// The binary under test, untouched by the environment of whoever runs the tests.
pub(super) fn checkback() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_checkback"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CHECKBACK_") {
            command.env_remove(name);
        }
    }
    command
}

/// Waits for a condition; the test fails if it doesn't come within `limit`.
pub(super) async fn until(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Waits until nothing is left on a list; the test fails with the list if it doesn't come to that.
pub(super) async fn until_none(
    what: &str,
    limit: Duration,
    mut list: impl AsyncFnMut() -> Vec<String>,
) {
    let deadline = Instant::now() + limit;
    loop {
        let left = list().await;
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}: {left:#?}");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Says something to the person who reads a test's output.
#[expect(clippy::print_stdout, reason = "what a test measured is worth reading")]
pub(super) fn note(text: std::fmt::Arguments<'_>) {
    println!("{text}");
}

/// A running process; killed, whatever state it is in, when the test is over.
pub(super) struct Process {
    child: Child,
    name: String,
    logs: PathBuf,
}

/// What a process that has ended said.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Process {
    /// Starts a command; `logs` gets two files of this name, which a restart goes on with.
    pub(super) fn start(name: &str, logs: &Path, mut command: Command) -> Self {
        let file = |extension: &str| {
            let path = logs.join(name).with_extension(extension);
            File::options().create(true).append(true).open(path).expect("a log")
        };
        let command = command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
        let child = command.spawn().expect("the binary starts");
        Self { child, name: name.to_owned(), logs: logs.to_owned() }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it, and its predecessors of the same name, wrote to standard output.
    pub(super) fn stdout(&self) -> String {
        self.read("out")
    }

    /// The same of standard error.
    pub(super) fn stderr(&self) -> String {
        self.read("err")
    }

    fn read(&self, extension: &str) -> String {
        let path = self.logs.join(&self.name).with_extension(extension);
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(super) fn signal(&self, signal: &str) {
        let pid = self.id().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &pid]).status();
        assert!(sent.expect("kill is there").success(), "{signal} for {} {pid}", self.name);
    }

    /// As `kill -9` does.
    pub(super) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // Either fails only for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_some()
    }

    /// Waits for its end.
    pub(super) async fn end_within(&mut self, limit: Duration) -> Ended {
        let what = format!("the end of {}", self.name);
        until(&what, limit, async || self.has_ended()).await;
        let status = self.child.wait().expect("our child");
        Ended { status, stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            let log = self.stderr();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            note(format_args!("=== the end of {}'s log\n{}", self.name, tail.join("\n")));
        }
    }
}
