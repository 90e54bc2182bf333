//! `.ci/engines` leaves out the rooms that need no engine: none of them may use one, or its tests
//! would never run on it.

use super::assert_none;
use super::source::{File, file, files};

/// Whatever runs on an engine uses one of these.
const ENGINES: [&str; 4] = ["support::engines", "TestApp", "shared_broker", "CHECKBACK_TEST_"];
/// The half of the store's tests that runs on SQLite; the other half runs on the engine.
const ON_SQLITE: &str = "on_sqlite";

fn left_out() -> Vec<String> {
    let script = file(".ci/engines").text;
    let (_, list) = script.split_once("without_engines=(\n").expect("the list");
    let (list, _) = list.split_once("\n)").expect("the end of the list");
    let rooms = list.split_whitespace().filter_map(|room| room.strip_suffix("::"));
    rooms.filter(|room| *room != ON_SQLITE).map(|room| room.replace("::", "/")).collect()
}

#[test]
fn the_engines_miss_no_test_that_needs_them() {
    let tests: Vec<File> = files(&["rs"]).into_iter().filter(|f| f.is_in("tests/suite/")).collect();
    let mut broken = Vec::new();
    let rooms = left_out();
    assert!(rooms.len() > 5, "the list is read: {rooms:?}");
    for room in rooms {
        let (file, folder) = (format!("tests/suite/{room}.rs"), format!("tests/suite/{room}/"));
        let of_room = |f: &&File| f.path == file || f.path == format!("{folder}mod.rs");
        assert!(tests.iter().any(|f| of_room(&f)), "there is no room {room}");
        let of_room = tests.iter().filter(|f| f.path == file || f.is_in(&folder));
        // This file names them to look for them.
        for f in of_room.filter(|f| !f.path.ends_with("tidy/engines.rs")) {
            for engine in ENGINES.iter().filter(|engine| f.text.contains(**engine)) {
                broken.push(format!("{}: {engine}", f.path));
            }
        }
    }
    assert_none("`.ci/engines` leaves out a room that uses an engine", &broken);
}
