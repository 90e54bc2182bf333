//! Documents name everything that they are there to name, and nothing that is gone.

use std::collections::BTreeSet;

use checkback::domain::alarm::AlarmKind;

use super::assert_none;
use super::source::{Parts, file, files, words};

/// The section of each struct of `src/config`.
const SECTIONS: [(&str, &str); 15] = [
    ("Alarms", "alarms"),
    ("Audit", "audit"),
    ("Payment", "payment"),
    ("Poll", "poll"),
    ("Reconcile", "reconcile"),
    ("Refund", "refund"),
    ("Http", "http"),
    ("ApiKey", "http"),
    ("Database", "database"),
    ("Rocketmq", "rocketmq"),
    ("Timeout", "timeout"),
    ("OrderClass", "timeout"),
    ("Alipay", "alipay"),
    ("Account", "alipay"),
    ("Sweep", "sweep"),
];

/// The first cell of each row of a document's tables, but for headings.
fn first_cells(path: &str) -> Vec<String> {
    let text = file(path).text;
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" |").next());
    cells.filter(|cell| cell.contains('`')).map(str::to_owned).collect()
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The sections of a document: their headings, and what stands below each.
fn sections(path: &str) -> Vec<(String, String)> {
    let text = file(path).text;
    let parts = text.split("\n## ").skip(1).filter_map(|part| part.split_once('\n'));
    parts.map(|(heading, body)| (heading.to_owned(), body.to_owned())).collect()
}

#[test]
fn every_alarm_has_its_section_with_its_age_limit() {
    let sections = sections("docs/alarms.md");
    let is_kind = |heading: &str| heading.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let named: BTreeSet<_> = sections.iter().map(|(heading, _)| heading.as_str()).collect();
    let named: BTreeSet<_> = named.into_iter().filter(|heading| is_kind(heading)).collect();
    let kinds: BTreeSet<_> = AlarmKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(named, kinds);
    let mut broken = Vec::new();
    for kind in AlarmKind::ALL {
        let found = sections.iter().find(|(heading, _)| heading == kind.as_str());
        let body = found.map_or("", |(_, body)| body.as_str());
        let age = kind.age_limit().to_std().expect("an age");
        let words = [
            format!("Age limit: {}.", humantime::format_duration(age)),
            format!("Severity: {}.", kind.severity().as_str()),
            "Subject: ".to_owned(),
            "\n\n**What happened.** ".to_owned(),
            "\n\n**What is safe.** ".to_owned(),
            "\n\n**What to do.** ".to_owned(),
        ];
        let missing = words.iter().filter(|words| !body.contains(words.as_str()));
        broken.extend(missing.map(|words| format!("{}: no {words}", kind.as_str())));
    }
    assert_none("docs/alarms.md is a runbook", &broken);
}

/// The public fields of the configuration's structs, as `section.key`.
fn configured() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for source in files(&["rs"]).iter().filter(|file| file.is_in("src/config/")) {
        let code = Parts::of(&source.text).code;
        let mut section = None;
        for line in code.lines() {
            let mut found = words(line);
            match (found.next(), found.next(), found.next()) {
                (Some("pub"), Some("struct"), Some(name)) => {
                    section = SECTIONS.iter().find(|(of, _)| *of == name).map(|(_, name)| name);
                }
                (Some("pub"), Some(field), _) if line.starts_with("    pub ") => {
                    let is_field = line.trim_start().starts_with(&format!("pub {field}:"));
                    keys.extend(section.filter(|_| is_field).map(|name| format!("{name}.{field}")));
                }
                _ => {}
            }
        }
    }
    assert!(keys.contains("timeout.pay_window") && keys.contains("http.key_file"), "{keys:?}");
    keys
}

/// The keys of the document's rows, as `section.key`: the first word of a row has the section.
fn documented() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for cell in first_cells("docs/configuration.md") {
        let first = quoted(&cell).next().unwrap_or_default().trim_start_matches('[').to_owned();
        let section = first.split('.').next().unwrap_or_default().to_owned();
        for name in quoted(&cell).filter(|name| !name.starts_with('[')) {
            let key = name.rsplit('.').next().unwrap_or_default();
            keys.insert(format!("{section}.{key}"));
        }
    }
    keys
}

#[test]
fn every_key_of_the_configuration_has_its_row() {
    let (configured, mut documented) = (configured(), documented());
    // The list of keys itself is documented as what is in it, and classes by their name.
    documented.extend(["http.keys", "timeout.class", "alipay.previous"].map(str::to_owned));
    let missing = configured.difference(&documented).map(|key| format!("{key} is not documented"));
    let gone = documented.difference(&configured).map(|key| format!("{key} doesn't exist"));
    let broken: Vec<_> = missing.chain(gone).collect();
    assert_none("docs/configuration.md lists the keys", &broken);
}

#[test]
fn the_readme_has_its_two_commands() {
    let text = file("README.md").text;
    for command in ["cargo run -- demo", "cargo test"] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(command)), "{command}");
    }
    for document in ["ARCHITECTURE.md", "CHANGELOG.md", "docs/configuration.md", "docs/alarms.md"] {
        assert!(text.contains(document), "{document}");
        assert!(!file(document).text.is_empty());
    }
}

/// The tests and modules of the suite by their paths, as `cargo test` names them.
fn tests_of_the_suite() -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut modules, mut tests) = (BTreeSet::new(), BTreeSet::new());
    for source in files(&["rs"]) {
        let Some(path) = source.path.strip_prefix("tests/suite/") else { continue };
        let path = path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
        let code = Parts::of(&source.text).code;
        let mut is_test = false;
        for line in code.lines() {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some(rest) = line.trim_start_matches("async ").strip_prefix("fn ") {
                let name = words(rest).next().unwrap_or_default();
                if std::mem::take(&mut is_test) {
                    tests.insert(format!("{path}::{name}"));
                }
            }
        }
        modules.insert(path);
    }
    (modules, tests)
}

/// What a table of defects says that proves them: a test or a module by its path, a module beside
/// it, a test by the beginning of its name, or the unit tests of a module of the service.
fn is_there(proof: &str, modules: &BTreeSet<String>, tests: &BTreeSet<String>) -> bool {
    if let Some(beginning) = proof.strip_suffix('…') {
        let of_peers = tests.iter().filter_map(|test| test.strip_prefix("peer_defects::"));
        return of_peers
            .filter_map(|test| test.split("::").last())
            .any(|name| name.starts_with(&format!("{beginning}_")));
    }
    let unit_tests = |module: &str| {
        let path = format!("src/{}", module.replace("::", "/"));
        let of_module =
            |found: &str| found == format!("{path}.rs") || found == format!("{path}/mod.rs");
        files(&["rs"]).iter().any(|f| of_module(&f.path) && f.text.contains("mod tests {"))
    };
    tests.contains(proof)
        || modules.contains(proof)
        || modules.contains(&format!("peer_defects::{proof}"))
        || proof.strip_suffix("::tests").is_some_and(unit_tests)
}

#[test]
fn the_proofs_of_the_peers_defects_are_there() {
    let (modules, tests) = tests_of_the_suite();
    assert!(tests.len() > 300, "the suite is read: {}", tests.len());
    for gone in ["stories::cancel::gone", "stories::gone", "tulingmall_99…", "clock::gone::tests"]
    {
        assert!(!is_there(gone, &modules, &tests), "{gone}");
    }
    let text = file("tests/suite/peer_defects.rs").text;
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | "));
    let rows: Vec<_> = rows.filter_map(|row| row.split_once(" | ")).skip(1).collect();
    assert!(rows.len() > 20, "the table is read: {rows:?}");
    let mut broken = Vec::new();
    for (defect, proofs) in rows {
        let gone = quoted(proofs).filter(|proof| !is_there(proof, &modules, &tests));
        broken.extend(gone.map(|proof| format!("{defect}: `{proof}` doesn't exist")));
    }
    assert_none("each defect of the peers has the tests that its row names", &broken);
}
