//! Who may know whom. A room is a top-level module of the crate; dependencies point one way.

use std::collections::BTreeSet;

use super::assert_none;
use super::source::{File, Parts, file, files, words};

/// What each room may name. `lib.rs` and `main.rs` only list or start them.
const ROOMS: [(&str, &[&str]); 20] = [
    ("domain", &["domain", "hash"]),
    ("clock", &["domain"]),
    ("hash", &["text"]),
    ("text", &[]),
    ("ids", &[]),
    ("metrics", &[]),
    ("webhook", &["text"]),
    ("config", &["domain", "config"]),
    ("store", &["domain", "hash", "store"]),
    ("alipay", &["domain", "text", "alipay"]),
    ("producer", &["domain", "text", "producer"]),
    ("app", &["domain", "clock", "ids", "metrics", "config", "store", "alipay", "producer"]),
    (
        "service",
        &[
            "domain", "clock", "hash", "webhook", "config", "store", "alipay", "producer", "app",
            "service",
        ],
    ),
    ("listener", &["domain", "store", "producer", "app", "service", "listener"]),
    ("consumers", &["domain", "store", "producer", "app", "service", "consumers"]),
    ("fallback_task", &["domain", "store", "app", "service"]),
    (
        "http",
        &["domain", "hash", "config", "metrics", "store", "producer", "app", "service", "http"],
    ),
    ("run", EVERY_ROOM),
    ("cli", EVERY_ROOM),
    ("main", EVERY_ROOM),
];

const EVERY_ROOM: &[&str] = &[
    "domain",
    "clock",
    "hash",
    "text",
    "webhook",
    "ids",
    "metrics",
    "config",
    "store",
    "alipay",
    "producer",
    "app",
    "service",
    "listener",
    "consumers",
    "fallback_task",
    "http",
    "run",
    "cli",
];

/// What names a room that it should not, and why it does today.
const EXCEPTIONS: [(&str, &str, &str); 1] =
    [("src/producer/outbox_relay.rs", "app store", "the relay is a task over the store's outbox")];

/// Who may name the gateway's client: it is put together in these, and the use cases that need its
/// own types name them.
const KNOWS_ALIPAY: [&str; 7] = [
    "src/alipay/",
    "src/config/",
    "src/run/",
    "src/cli/",
    "src/app.rs",
    "src/service/accept_notification.rs",
    "src/service/request_payment.rs",
];

/// Who may name RocketMQ's crates.
const KNOWS_ROCKETMQ: [&str; 10] = [
    "src/producer/rocketmq.rs",
    "src/producer/callback.rs",
    "src/producer/early_end.rs",
    "src/producer/plain.rs",
    "src/producer/renewal.rs",
    "src/producer/runtime.rs",
    "src/producer/runtime/",
    "src/producer/admin/",
    "src/consumers/bridge.rs",
    "embedded-rocketmq/",
];

fn sources() -> Vec<File> {
    let found: Vec<_> = files(&["rs"]).into_iter().filter(|file| file.is_in("src/")).collect();
    assert!(found.len() > 50, "the source is read");
    found
}

fn room_of(path: &str) -> &str {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    inside.split('/').next().unwrap_or_default()
}

/// The rooms that a piece of code names by `crate::`, with their lines.
fn rooms_named(code: &str) -> BTreeSet<(usize, String)> {
    let mut named = BTreeSet::new();
    for (at, start) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + start.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            named.extend(words(rest).next().map(|room| (line, room.to_owned())));
            continue;
        };
        let mut depth = 0;
        let is_top = |c: char| {
            let top = depth == 0;
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            (top, c)
        };
        let (top, _): (Vec<_>, Vec<_>) = group
            .chars()
            .map(is_top)
            .take_while(|(top, c)| !(*top && *c == '}'))
            .partition(|(top, _)| *top);
        let top: String = top.into_iter().map(|(_, c)| c).collect();
        let firsts = top.split(',').filter_map(|item| words(item).next());
        named.extend(firsts.map(|room| (line, room.to_owned())));
    }
    named
}

#[test]
fn rooms_are_found_in_every_form_of_an_import() {
    let code = "use crate::store::{a, b};\nuse crate::{app::App, domain::{ids, money}, http};";
    let named: Vec<_> = rooms_named(code).into_iter().collect();
    let wanted = [(1, "store"), (2, "app"), (2, "domain"), (2, "http")];
    assert_eq!(named, wanted.map(|(line, room)| (line, room.to_owned())));
}

#[test]
fn dependencies_point_one_way() {
    let mut broken = Vec::new();
    for file in sources().iter().filter(|file| file.path != "src/lib.rs") {
        let room = room_of(&file.path);
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            broken.push(format!("{}: the room {room} has no rule", file.path));
            continue;
        };
        let excepted = |named: &str| {
            let mut exceptions = EXCEPTIONS.iter();
            exceptions
                .any(|(path, rooms, _)| *path == file.path && words(rooms).any(|r| r == named))
        };
        let parts = Parts::of(&file.text);
        for (line, named) in rooms_named(parts.code_without_tests()) {
            if named != room && !allowed.contains(&named.as_str()) && !excepted(&named) {
                broken.push(format!("{}:{line}: {room} names {named}", file.path));
            }
        }
    }
    assert_none("dependencies point one way", &broken);
}

#[test]
fn the_domain_does_no_io_and_knows_no_clock() {
    let foreign =
        ["tokio", "sqlx", "axum", "reqwest", "tracing", "fs", "net", "Utc::now", "SystemTime"];
    let mut broken = Vec::new();
    for file in sources().iter().filter(|file| file.is_in("src/domain/")) {
        let parts = Parts::of(&file.text);
        for word in foreign {
            let found = parts.lines_with(word);
            broken.extend(found.map(|line| format!("{}:{line}: {word}", file.path)));
        }
        if parts.code.contains("Utc::now") {
            broken.push(format!("{}: Utc::now", file.path));
        }
    }
    assert_none("the domain is pure", &broken);
}

#[test]
fn only_the_producer_and_the_bridge_name_rocketmqs_crates() {
    let manifest = file("Cargo.toml").text;
    let crates: BTreeSet<_> = manifest
        .lines()
        .filter_map(|line| line.split([' ', '=']).next())
        .filter(|name| name.starts_with("rocketmq"))
        .map(|name| name.replace('-', "_"))
        .collect();
    assert!(crates.contains("rocketmq_client_rust"), "{crates:?}");
    let mut broken = Vec::new();
    for file in files(&["rs"]) {
        if KNOWS_ROCKETMQ.iter().any(|known| file.is_in(known)) {
            continue;
        }
        let parts = Parts::of(&file.text);
        for name in &crates {
            let found = parts.lines_with(name);
            broken.extend(found.map(|line| format!("{}:{line}: {name}", file.path)));
        }
    }
    assert_none("RocketMQ's crates are named in few places", &broken);
}

#[test]
fn only_the_use_cases_that_need_it_name_the_gateways_client() {
    let mut broken = Vec::new();
    for file in sources() {
        let excepted =
            EXCEPTIONS.iter().any(|(path, room, _)| *path == file.path && *room == "alipay");
        if excepted || KNOWS_ALIPAY.iter().any(|known| file.is_in(known)) {
            continue;
        }
        let parts = Parts::of(&file.text);
        let named = rooms_named(&parts.code).into_iter().filter(|(_, room)| room == "alipay");
        broken.extend(named.map(|(line, _)| format!("{}:{line}", file.path)));
    }
    assert_none("a second gateway is an addition", &broken);
}

#[test]
fn the_simulator_shares_no_code_with_the_client() {
    let mut broken = Vec::new();
    for file in files(&["rs"]).iter().filter(|file| file.is_in("alipay-simulator/")) {
        let found: Vec<_> = Parts::of(&file.text).lines_with("checkback").collect();
        broken.extend(found.into_iter().map(|line| format!("{}:{line}", file.path)));
    }
    assert_none("the simulator stands alone", &broken);
}
