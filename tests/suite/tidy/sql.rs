//! The dialect that SQLite and MySQL share, and where SQL may stand.

use super::assert_none;
use super::source::{Parts, expanded, files, words};

/// What one of the two engines doesn't know, or reads differently.
const BANNED: [&str; 13] = [
    "auto_increment",
    "autoincrement",
    "returning",
    "on conflict",
    "on duplicate key",
    "insert ignore",
    "insert or ",
    "replace into",
    "for update",
    "now()",
    "current_timestamp",
    "select *",
    "if not exists",
];

/// Types that `Any` can't read on both engines.
const BANNED_TYPES: [&str; 13] = [
    "boolean",
    "tinyint",
    "int",
    "integer",
    "date",
    "datetime",
    "timestamp",
    "decimal",
    "numeric",
    "float",
    "double",
    "json",
    "char",
];

/// The clock probe has one text per engine: it is where they must differ.
const CLOCK_PROBE: &str = "src/store/clock_probe.rs";

/// The benchmark's own databases: it makes them, and fills them faster than the service would.
const BENCHMARK: &str = "bench/src/database/";

/// Words that make a text a statement, if it begins with one.
const STATEMENTS: [&str; 9] =
    ["select", "insert", "update", "delete", "create", "alter", "drop", "pragma", "begin"];

/// Every statement with where it stands: literals of the store, and migrations.
fn statements() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in files(&["rs"]).iter().filter(|file| file.is_in("src/store")) {
        let parts = Parts::of(&expanded(&file.text));
        let texts = parts.strings.into_iter().filter(|(_, text)| is_statement(text));
        found.extend(texts.map(|(line, text)| (format!("{}:{line}", file.path), text)));
    }
    for file in files(&["sql"]) {
        found.push((file.path.clone(), without_comments(&file.text)));
    }
    assert!(found.len() > 100, "the statements are found: {}", found.len());
    found
}

fn without_comments(sql: &str) -> String {
    let lines: Vec<_> = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    lines.join("\n")
}

fn is_statement(text: &str) -> bool {
    let text = text.to_lowercase();
    let mut words = text.split_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let rest: Vec<_> = words.collect();
    match first {
        "select" => second == "1" || rest.contains(&"from") || second.contains('('),
        "insert" => matches!(second, "into" | "ignore" | "or"),
        "update" => rest.contains(&"set"),
        "delete" => second == "from",
        "create" | "alter" | "drop" => matches!(second, "table" | "index" | "unique" | "view"),
        "begin" => matches!(second, "immediate" | "transaction"),
        "pragma" => !second.is_empty(),
        _ => false,
    }
}

/// The text outside of quotes, with single spaces.
fn plain(sql: &str) -> String {
    let outside: Vec<_> = sql.split('\'').step_by(2).collect();
    outside.join("''").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a statement has that it should not.
fn flaws(sql: &str) -> Vec<String> {
    let sql = plain(sql);
    let lower = sql.to_lowercase();
    let banned = BANNED.iter().filter(|banned| lower.contains(**banned));
    let mut flaws: Vec<_> = banned.map(|banned| (*banned).to_owned()).collect();
    let is_shouted =
        |word: &&str| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    flaws.extend(words(&sql).find(is_shouted).map(|word| format!("{word} in capitals")));
    if lower.matches("sum(").count() != lower.matches("cast(sum(").count() {
        flaws.push("sum without a cast".to_owned());
    }
    if lower.starts_with("update") && words(&lower).any(|word| word == "limit") {
        flaws.push("limit in an update".to_owned());
    }
    flaws
}

#[test]
fn statements_are_of_the_dialect_that_both_engines_share() {
    let mut broken = Vec::new();
    for (place, sql) in statements().iter().filter(|(place, _)| !place.starts_with(CLOCK_PROBE)) {
        broken.extend(flaws(sql).into_iter().map(|flaw| format!("{place}: {flaw}")));
    }
    assert_none("SQL is portable and lower-case", &broken);
}

#[test]
fn each_rule_of_the_dialect_finds_its_breach() {
    let good = "update orders set status = 'NOW()' where id = ? and 'x' <> 'SELECT *'";
    assert_eq!(flaws(good), [""; 0]);
    for bad in [
        "insert into t (a) values (?) returning a",
        "insert into t (a) values (?)\n    on  conflict do nothing",
        "insert ignore into t (a) values (?)",
        "select * from t",
        "SELECT a from t",
        "select a from t for update",
        "select sum(a) from t",
        "select a from t where b < now()",
        "update t set a = 1 where b = ? limit 1",
        "create index if not exists i on t (a)",
    ] {
        assert_eq!(flaws(bad).len(), 1, "{bad}");
        assert!(is_statement(bad), "{bad}");
    }
    for prose in ["select the order", "update it", "begin again", "the order", "insert coin"] {
        assert!(!is_statement(prose), "{prose}");
    }
}

#[test]
fn columns_have_types_that_both_engines_can_be_read_with() {
    let mut broken = Vec::new();
    for file in files(&["sql"]) {
        for line in without_comments(&file.text).lines() {
            let column_type = line.split_whitespace().nth(1).unwrap_or_default();
            let column_type = column_type.split(['(', ',']).next().unwrap_or_default();
            if BANNED_TYPES.contains(&column_type) {
                broken.push(format!("{}: {column_type}", file.path));
            }
        }
    }
    assert_none("a column is varchar, text, bigint or blob", &broken);
}

#[test]
fn a_migration_is_one_statement_under_a_number_of_its_own() {
    let mut migrations: Vec<_> =
        files(&["sql"]).into_iter().filter(|file| file.is_in("migrations/")).collect();
    migrations.sort_by(|one, other| one.path.cmp(&other.path));
    let mut broken = Vec::new();
    let mut last = 0_u32;
    for file in &migrations {
        let name = file.path.trim_start_matches("migrations/");
        let digits = name.split_once('_').map(|(digits, _)| digits);
        let number = digits.filter(|digits| digits.len() == 4).and_then(|text| text.parse().ok());
        match number.filter(|number| *number > last) {
            Some(number) => last = number,
            None => broken.push(format!("{}: its number isn't its own", file.path)),
        }
        let sql = plain(&without_comments(&file.text));
        let more = sql.trim().trim_end_matches(';').contains(';');
        let begun = STATEMENTS.iter().filter(|word| sql.starts_with(**word)).count();
        if more || begun != 1 {
            broken.push(format!("{}: not one statement", file.path));
        }
    }
    assert_none("one statement a file, since MySQL commits each", &broken);
}

#[test]
fn sql_stands_in_the_store_only() {
    let mut broken = Vec::new();
    let sources = files(&["rs"]);
    let inside = |path: &str| path.starts_with("src/store/") || path.starts_with(BENCHMARK);
    let outside = |path: &str| path.contains("src/") && !inside(path);
    for file in sources.iter().filter(|file| outside(&file.path)) {
        let parts = Parts::of(&file.text);
        let found = parts.strings.iter().filter(|(_, text)| is_statement(text));
        broken.extend(found.map(|(line, text)| format!("{}:{line}: {text}", file.path)));
        let named = parts.lines_with("sqlx");
        broken.extend(named.map(|line| format!("{}:{line}: sqlx", file.path)));
    }
    for file in sources.iter().filter(|file| file.is_in("tests/") && !file.is_in("tests/suite/")) {
        broken.push(format!("{}: a test outside of the suite", file.path));
    }
    assert_none("no SQL outside of src/store and migrations", &broken);
}
