//! The tree as text: its files, and Rust source taken apart into code and string literals.

use std::fs;
use std::path::Path;

/// Folders that are not ours: made by builds and runs, or by git.
const OTHERS: [&str; 5] = ["target", ".git", "node_modules", "checkback-demo", "data"];
/// Files that nobody writes by hand.
const GENERATED: [&str; 1] = ["Cargo.lock"];

/// A file of the tree.
#[derive(Debug)]
pub(super) struct File {
    /// From the root of the repository, with slashes.
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    pub(super) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    pub(super) fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }
}

/// Every text file with one of these extensions; any text file without one.
pub(super) fn files(extensions: &[&str]) -> Vec<File> {
    let mut found = Vec::new();
    walk(Path::new(env!("CARGO_MANIFEST_DIR")), "", &mut found);
    found.retain(|file| extensions.is_empty() || extensions.iter().any(|e| file.has_extension(e)));
    assert!(found.len() > 2, "the tree is read");
    found
}

/// The one file at this path.
pub(super) fn file(path: &str) -> File {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = fs::read_to_string(full).unwrap_or_else(|error| panic!("{path}: {error}"));
    File { path: path.to_owned(), text }
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if entry.file_type().expect("a type").is_dir() {
            if !OTHERS.contains(&name.as_str()) {
                walk(&entry.path(), &format!("{path}/"), found);
            }
        } else if !GENERATED.contains(&name.as_str()) {
            // Pictures and databases are no text.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                found.push(File { path, text });
            }
        }
    }
}

/// Rust source taken apart. Comments are in neither part.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The code, each string literal an empty one. Lines are where they were.
    pub(super) code: String,
    /// The string literals, each with the number of its first line.
    pub(super) strings: Vec<(usize, String)>,
}

impl Parts {
    pub(super) fn of(source: &str) -> Self {
        let mut parts = Self::default();
        let mut line = 1;
        let mut rest = source;
        while let Some(first) = rest.chars().next() {
            let taken = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if let Some(literal) = Literal::at(rest, parts.code.chars().next_back()) {
                parts.code.push_str("\"\"");
                parts.code.extend(rest[..literal.end].chars().filter(|c| *c == '\n'));
                parts.strings.push((line, literal.text));
                literal.end
            } else {
                let taken = character_literal(rest).unwrap_or(first.len_utf8());
                parts.code.push_str(&rest[..taken]);
                taken
            };
            line += rest[..taken].matches('\n').count();
            rest = &rest[taken..];
        }
        parts
    }

    /// The code before its unit tests, which may do what the rest must not.
    pub(super) fn code_without_tests(&self) -> &str {
        self.code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
    }

    /// Where these words stand in the code, as whole words, with their lines.
    pub(super) fn lines_with<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code.lines().enumerate().filter_map(move |(index, line)| {
            words(line).any(|found| found == word).then_some(index + 1)
        })
    }
}

/// Source whose macros for statements are expanded: each, `select_` and a name, puts the columns
/// before the one literal that it is given. Lines stay where they were.
pub(crate) fn expanded(source: &str) -> String {
    let Some((before, after)) = source.split_once("macro_rules! select_") else {
        return source.to_owned();
    };
    let (definition, after) = after.split_once("\n}\n").expect("an end of the macro");
    let name = definition.split_whitespace().next().expect("a name");
    let columns = Parts::of(definition).strings.into_iter().next().expect("columns").1;
    let call = format!("select_{name}!(");
    let mut calls = after.split(&call);
    let mut text = before.to_owned();
    text.extend((0..=definition.matches('\n').count() + 1).map(|_| '\n'));
    text.push_str(calls.next().unwrap_or_default());
    for call in calls {
        let (space, literal) = call.split_once('"').expect("a literal");
        for part in ["(", space, "\"", &columns, literal] {
            text.push_str(part);
        }
    }
    expanded(&text)
}

/// The identifiers of a text.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

struct Literal {
    text: String,
    /// How many bytes of the source it takes.
    end: usize,
}

impl Literal {
    /// The string literal that begins here.
    fn at(source: &str, before: Option<char>) -> Option<Self> {
        let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let body = source.strip_prefix(['b', 'c']).filter(|_| !in_word).unwrap_or(source);
        let raw = body.strip_prefix('r').filter(|_| !in_word).and_then(|rest| {
            let hashes = rest.len() - rest.trim_start_matches('#').len();
            rest[hashes..].starts_with('"').then_some((hashes, &rest[hashes + 1..]))
        });
        if let Some((hashes, inner)) = raw {
            let close = format!("\"{}", "#".repeat(hashes));
            let length = inner.find(&close)?;
            let end = source.len() - inner.len() + length + close.len();
            return Some(Self { text: inner[..length].to_owned(), end });
        }
        let inner = body.strip_prefix('"')?;
        let mut escaped = false;
        let length = inner.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        let lines = inner[..length].split("\\\n").enumerate();
        let text = lines.map(|(index, line)| if index == 0 { line } else { line.trim_start() });
        Some(Self { text: text.collect(), end: source.len() - inner.len() + length + 1 })
    }
}

/// The length of the character literal that begins here: a quote in one opens no string.
fn character_literal(source: &str) -> Option<usize> {
    let inner = source.strip_prefix('\'')?;
    let mut chars = inner.char_indices();
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next();
    }
    let (at, close) =
        chars.find(|(_, c)| *c == '\'' || !c.is_ascii_hexdigit() && !"{}ux".contains(*c))?;
    let is_literal = close == '\'' && (first == '\\' || at == first.len_utf8());
    is_literal.then_some(at + 2)
}

#[test]
fn source_is_taken_apart_as_the_compiler_does_it() {
    let source = "let a = \"x \\\" \\\n    y\"; // \"no\nlet b = r#\"a \"b\" c\"#; let c = '\"'; \
                  fn d<'a>(e: &'a str) { f('\\'', b\"g\") } \"last\"";
    let parts = Parts::of(source);
    let strings: Vec<_> = parts.strings.iter().map(|(line, text)| (*line, text.as_str())).collect();
    assert_eq!(strings, [(1, "x \\\" y"), (3, "a \"b\" c"), (3, "g"), (3, "last")]);
    assert!(parts.code.contains("let c = '\"'; fn d<'a>(e: &'a str) { f('\\'', \"\") } \"\""));
    assert_eq!(parts.lines_with("d").collect::<Vec<_>>(), [3]);
}
