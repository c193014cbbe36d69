//! TOML itself: parsing with every syntax mistake collected, in bounded time, memory and stack.

use toml::de::{DeTable, DeValue};

use super::Span;
use super::mistake::Mistake;
use super::span::line_of;
use crate::values::{is_private_key, looks_private};

/// The limit on nesting; a profile needs four levels: `etcd.config.peer-transport-security.allowed-hostname`.
const MAX_DEPTH: usize = 16;

/// A parsed document that is dropped without recursion: dotted keys in nested inline tables can be thousands of levels
/// deep, and each level would need a part of the stack.
pub(super) struct Document<'t>(DeTable<'t>);

impl<'t> Document<'t> {
    pub fn table(&self) -> &DeTable<'t> {
        &self.0
    }

    /// A string at the top level.
    pub fn text(&self, key: &str) -> Option<String> {
        self.0.get(key)?.get_ref().as_str().map(str::to_owned)
    }

    /// Merges a base document: tables are merged recursively; everything else, lists too, is taken over only where
    /// this document has no value.
    pub fn extend(&mut self, mut base: Document<'t>) {
        join(&mut self.0, std::mem::take(&mut base.0));
    }

    /// Merges a document that takes precedence: tables are merged recursively, and keep their places; everything else
    /// is replaced.
    pub fn set(&mut self, mut over: Document<'t>) {
        replace(&mut self.0, std::mem::take(&mut over.0));
    }

    /// The places where `[etcd] sha256` pins release files: hex digits that are not secret.
    pub fn digests(&self) -> Vec<Span> {
        let etcd = self.0.get("etcd").map(toml::Spanned::get_ref);
        let Some(DeValue::Table(etcd)) = etcd else { return Vec::new() };
        match etcd.get("sha256").map(|value| (value.get_ref(), value.span())) {
            Some((DeValue::Array(items), _)) => items.iter().map(toml::Spanned::span).collect(),
            Some((_, span)) => vec![span],
            None => Vec::new(),
        }
    }

    /// The places of strings that may be private keys, whatever the key whose value they are: no message may show them.
    pub fn private_keys(&self) -> Vec<Span> {
        let texts = self.texts().into_iter();
        texts.filter(|(text, _, is_key)| !is_key && looks_private(text)).map(|(_, span, _)| span).collect()
    }

    /// The places of all that no message may show.
    pub fn secrets(&self) -> Vec<Span> {
        [self.private_keys(), self.credentials()].concat()
    }

    /// The places of values whose keys are those of credentials elsewhere: no message may show one that was written
    /// here by mistake.
    fn credentials(&self) -> Vec<Span> {
        let (mut found, mut tables) = (Vec::new(), vec![&self.0]);
        while let Some(table) = tables.pop() {
            for (key, value) in table.iter() {
                let key = key.get_ref().replace('_', "-").to_ascii_lowercase();
                if CREDENTIALS.contains(&key.as_str()) {
                    found.push(value.span());
                } else if let DeValue::Table(below) = value.get_ref() {
                    tables.push(below);
                }
            }
        }
        found
    }

    /// Every string and every key, with its place, and whether it is a key.
    fn texts(&self) -> Vec<(&str, Span, bool)> {
        let (mut found, mut tables, mut left) = (Vec::new(), vec![&self.0], Vec::new());
        while let Some(table) = tables.pop() {
            found.extend(table.keys().map(|key| (key.get_ref().as_ref(), key.span(), true)));
            left.extend(table.values());
            while let Some(value) = left.pop() {
                match value.get_ref() {
                    DeValue::Table(table) => tables.push(table),
                    DeValue::Array(items) => left.extend(items.iter()),
                    DeValue::String(text) => found.push((text.as_ref(), value.span(), false)),
                    _ => {}
                }
            }
        }
        found
    }
}

/// The places of private keys among the values and the keys of a document.
pub(super) fn keys_in(document: &Document<'_>) -> Vec<Span> {
    let texts = document.texts().into_iter();
    texts.filter(|(text, _, _)| is_private_key(text)).map(|(_, span, _)| span).collect()
}

/// Recurses no deeper than `MAX_DEPTH`; deeper documents are refused.
fn join<'t>(own: &mut DeTable<'t>, base: DeTable<'t>) {
    for (key, value) in base {
        match own.get_mut(key.get_ref().as_ref()).map(toml::Spanned::get_mut) {
            Some(DeValue::Table(own)) => {
                if let DeValue::Table(base) = value.into_inner() {
                    join(own, base);
                }
            }
            Some(_) => {}
            None => {
                own.insert(key, value);
            }
        }
    }
}

/// Recurses no deeper than `MAX_DEPTH`; deeper documents are refused.
fn replace<'t>(own: &mut DeTable<'t>, over: DeTable<'t>) {
    for (key, value) in over {
        match (own.get_mut(key.get_ref().as_ref()).map(toml::Spanned::get_mut), value.get_ref()) {
            (Some(DeValue::Table(own)), DeValue::Table(_)) => {
                if let DeValue::Table(over) = value.into_inner() {
                    replace(own, over);
                }
            }
            (Some(own), _) => *own = value.into_inner(),
            (None, _) => {
                own.insert(key, value);
            }
        }
    }
}

/// Keys of a bucket's credentials and of a ping, here and in other programs' files.
const CREDENTIALS: [&str; 7] =
    ["access-key", "access-key-id", "password", "ping", "secret-access-key", "secret-key", "session-token"];

impl Drop for Document<'_> {
    fn drop(&mut self) {
        let mut left = vec![DeValue::Table(std::mem::take(&mut self.0))];
        while let Some(value) = left.pop() {
            match value {
                DeValue::Table(table) => left.extend(table.into_iter().map(|(_, value)| value.into_inner())),
                DeValue::Array(items) => left.extend(items.into_iter().map(|item| item.into_inner())),
                _ => {}
            }
        }
    }
}

/// The document, as far as it can be parsed, and the mistakes in its syntax.
///
/// `None` when a mistake makes everything after it guesswork: a broken table header, or an excessively deep document.
pub(super) fn parse(text: &str) -> (Option<Document<'_>>, Vec<Mistake>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let document = Document(table.into_inner());
    let mut mistakes: Vec<Mistake> = Vec::new();
    let mut last_line = None;
    let mut header_broken = false;
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let line = line_of(text, &span);
        let duplicate = error.message() == "duplicate key";
        header_broken |= !duplicate && text[line.clone()].trim_start().starts_with('[');
        // The parser reports several errors for one slip; the first one is the nearest to it. Keys below a second header
        // of a table are no duplicates once the header is right.
        if last_line.as_ref() != Some(&line) && !(duplicate && is_below_second_header(text, &line)) {
            let mistake = if duplicate {
                duplicate_key(text, &document, span)
            } else {
                broken(text, error.message(), span)
            };
            mistakes.push(mistake);
        }
        last_line = Some(line);
    }
    if let Some(span) = too_deep(document.table()) {
        let reason = format!("keys are nested more than {MAX_DEPTH} deep here");
        mistakes.push(Mistake::new(span, reason).help("a profile needs four levels at the most"));
        return (None, mistakes);
    }
    ((!header_broken).then_some(document), mistakes)
}

/// The parser's reason in words that need no knowledge of its grammar.
fn broken(text: &str, message: &str, span: Span) -> Mistake {
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let rest = text.get(span.start..line_of(text, &span).end).unwrap_or_default().trim();
    let no_value = what == "string values must be quoted" && (rest.is_empty() || rest.starts_with('#'));
    let (reason, help) = match (what, expected) {
        _ if no_value => ("the value is missing", "write it after the =, as in name = \"cp-a\"".into()),
        ("string values must be quoted", _) => {
            ("a string must be in quotes", "write it as in name = \"cp-a\"".into())
        }
        // An address or a version.
        ("invalid float" | "invalid integer", _) => (
            "this is not a number; a string must be in quotes",
            "write it as in address = \"10.0.0.11\"".into(),
        ),
        ("invalid boolean", _) => (
            "this is neither true nor false; a string must be in quotes",
            "write it as in name = \"cp-a\"".into(),
        ),
        ("invalid basic string", "`\"`") => {
            ("a string has no closing quote", "end it with \" on this line".into())
        }
        ("invalid literal string", "`'`") => {
            ("a string has no closing quote", "end it with ' on this line".into())
        }
        ("invalid basic string" | "invalid literal string", _) => {
            ("a string has a control character", "remove it, or write it as in \"\\u001b\"".into())
        }
        ("unclosed table" | "unclosed array of tables", _) => {
            ("the table's header has no closing bracket", format!("end it with {expected}"))
        }
        ("unexpected key or value", _) => {
            ("this does not belong on the same line", "begin a new line before it".into())
        }
        ("invalid key-value pair", "key") => {
            ("a key is expected here", "write KEY = VALUE, or begin a table with [NAME]".into())
        }
        ("cannot recurse further; max recursion depth met" | "recursion limit", _) => {
            ("this is nested too deep", "a profile needs four levels of keys, and no list in a list".into())
        }
        (what, "") => (what, "see toml.io for what a value may look like".into()),
        (what, expected) => (what, format!("expected {expected}")),
    };
    Mistake::new(span, format!("this is not TOML: {reason}")).help(help)
}

/// Whether the nearest header above a line is there a second time.
fn is_below_second_header(text: &str, line: &Span) -> bool {
    let headers: Vec<&str> = lines(text)
        .take_while(|at| at.start <= line.start)
        .map(|at| text[at].trim())
        .filter(|text| text.starts_with('['))
        .collect();
    let is_header = text[line.clone()].trim_start().starts_with('[');
    let own = headers.last().filter(|own| !is_header && !own.starts_with("[["));
    own.is_some_and(|own| headers[..headers.len() - 1].contains(own))
}

fn duplicate_key(text: &str, document: &Document, span: Span) -> Mistake {
    let line = line_of(text, &span);
    let key = text.get(span.clone()).unwrap_or_default().trim();
    let header = text[line.clone()].trim_start().starts_with('[');
    let (reason, first) = if header {
        let written = text[line.clone()].trim();
        let first =
            lines(text).take_while(|at| at.start < line.start).find(|at| text[at.clone()].trim() == written);
        (format!("duplicate table {key:?}"), first)
    } else {
        (format!("duplicate key {key:?}"), key_before(document.table(), key, span.start))
    };
    let help = match (header, key) {
        (true, "node" | "client") => format!("begin each with [[{key}]], in double brackets"),
        _ => "keep one of the two".to_owned(),
    };
    let mistake = Mistake::new(span, reason).help(help);
    match first {
        Some(first) => mistake.other(first, "first here"),
        None => mistake,
    }
}

fn lines(text: &str) -> impl Iterator<Item = Span> {
    text.split_inclusive('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        Some(start..start + line.trim_end_matches(['\n', '\r']).len())
    })
}

/// The last key of this name before a place: the keys of one table are together.
fn key_before(table: &DeTable, key: &str, before: usize) -> Option<Span> {
    let mut best: Option<Span> = None;
    walk(table, |name, span, _| {
        let nearer = best.as_ref().is_none_or(|best| best.start < span.start);
        if name == key && span.start < before && nearer {
            best = Some(span);
        }
        true
    });
    best
}

fn too_deep(table: &DeTable) -> Option<Span> {
    let mut found = None;
    walk(table, |_, span, depth| {
        if depth > MAX_DEPTH && found.is_none() {
            found = Some(span);
        }
        found.is_none()
    });
    found
}

/// Every key with its span and its depth, from 1, until `look` returns false; without recursion.
fn walk(table: &DeTable, mut look: impl FnMut(&str, Span, usize) -> bool) {
    let mut left: Vec<(&DeTable, usize)> = vec![(table, 1)];
    let mut lists: Vec<(&DeValue, usize)> = Vec::new();
    while let Some((table, depth)) = left.pop() {
        for (key, value) in table {
            if !look(key.get_ref(), key.span(), depth) {
                return;
            }
            lists.push((value.get_ref(), depth));
        }
        while let Some((value, depth)) = lists.pop() {
            match value {
                DeValue::Table(below) => left.push((below, depth + 1)),
                DeValue::Array(items) => lists.extend(items.iter().map(|item| (item.get_ref(), depth + 1))),
                _ => {}
            }
        }
    }
}

/// Whether a mistake of meaning is shown beside mistakes of syntax: it has a place, that place is on none of the
/// broken lines, and it does not report something as missing.
pub(super) fn stands(mistake: &Mistake, broken: &[Span], text: &str) -> bool {
    if broken.is_empty() {
        return true;
    }
    let on = |span: &Span| {
        let line = line_of(text, span);
        broken.iter().any(|broken| line.start <= broken.start && broken.start <= line.end)
    };
    mistake.is_local() && !mistake.span.as_ref().is_some_and(on)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deep_document_is_refused_and_does_not_take_the_stack() {
        let key = "a.".repeat(70) + "a";
        let deep = format!("{}{key} = 1{}", format!("{key} = {{").repeat(70), "}".repeat(70));
        for text in [deep, format!("{} = 1", "a.".repeat(100_000) + "a")] {
            let small_stack = std::thread::Builder::new().stack_size(256 * 1024);
            let thread = small_stack.spawn(move || parse(&text).1.len()).unwrap();
            assert!(thread.join().unwrap() > 0);
        }
    }

    #[test]
    fn nested_lists_are_bounded_too() {
        let text = format!("a = {}{}", "[".repeat(60), "]".repeat(60));
        let (document, mistakes) = parse(&text);
        assert!(document.is_some() && mistakes.is_empty(), "lists alone have no keys");
        let text = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(!parse(&text).1.is_empty());
    }
}
