//! The house rules, read off the tree: sizes, the portable dialect of SQL, who may know whom, and
//! documents that name everything. A rule that is broken for a good reason has its exception here,
//! with the reason.

mod documents;
mod engines;
mod rooms;
mod source;
mod sql;

pub(crate) use source::expanded;
use source::{File, files};

/// Longest line of code, SQL and prose (characters).
const LINE_CHARS_MAX: usize = 100;
/// Longest file of code (lines).
const FILE_LINES_MAX: usize = 400;

fn assert_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}, {} times:\n{}", broken.len(), broken.join("\n"));
}

/// Prose may have lines that can't be broken: rows of tables, and links.
fn may_be_long(file: &File, line: &str) -> bool {
    let is_row = line.trim_start().trim_start_matches("//!").trim_start().starts_with('|');
    is_row || (file.has_extension("md") && line.contains("://"))
}

#[test]
fn lines_fit_a_screen() {
    let mut broken = Vec::new();
    for file in files(&["rs", "sql", "md"]) {
        for (index, line) in file.text.lines().enumerate() {
            let chars = line.chars().count();
            if chars > LINE_CHARS_MAX && !may_be_long(&file, line) {
                broken.push(format!("{}:{}: {chars} characters", file.path, index + 1));
            }
        }
    }
    assert_none("a line has at most 100 characters", &broken);
}

#[test]
fn files_fit_a_head() {
    let mut broken = Vec::new();
    for file in files(&["rs", "sql"]) {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            broken.push(format!("{}: {lines} lines", file.path));
        }
    }
    assert_none("a file has at most 400 lines", &broken);
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    // Put together, so that they don't stand here.
    let places = ["work", "home", "root", "Users"].map(|folder| format!("/{folder}/"));
    let mut broken = Vec::new();
    for file in files(&[]) {
        for (index, line) in file.text.lines().enumerate() {
            let named = places.iter().find(|place| names_path(line, place));
            if let Some(place) = named {
                broken.push(format!("{}:{}: {place}", file.path, index + 1));
            }
        }
    }
    assert_none("no absolute path of a machine", &broken);
}

/// Whether the line has this as the beginning of a path, not in the middle of one.
fn names_path(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|before| !(before.is_alphanumeric() || "._-$}/".contains(before)))
    })
}
