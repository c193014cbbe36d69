//! Reads a parsed TOML document by the table of keys: each by name and type; any other key is unknown.

use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Span;
use super::diagnostics::Diagnostics;
use super::key::{Usual, ValueKind};
use super::mistake::Mistake;
use super::schema;
use crate::etcd::{Given, keys};
use crate::suggest;
use crate::values::{Invalid, looks_private, without_passwords};

/// A table of the profile. A missing table reads like an empty one.
pub(super) struct Section<'t> {
    /// As it is written: `[cluster]`, `[[node]]`; empty for the top of the file.
    title: &'static str,
    /// Its header.
    pub span: Option<Span>,
    table: Option<&'t DeTable<'t>>,
    /// The value is not a table: keys in it are not reported as missing.
    wrong: bool,
}

impl<'t> Section<'t> {
    pub fn top(table: &'t DeTable<'t>) -> Self {
        Self { title: "", span: None, table: Some(table), wrong: false }
    }

    /// As it is written: `[cluster]`.
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// `[cluster] name`, or only `schema` at the top.
    fn name(&self, key: &str) -> String {
        if self.title.is_empty() { key.into() } else { format!("{} {key}", self.title) }
    }

    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Where a key's value is.
    pub fn place(&self, key: &str) -> Option<Span> {
        self.table.and_then(|table| table.get(key)).map(Spanned::span)
    }

    pub fn is_empty_list(&self, key: &str) -> bool {
        let value = self.table.and_then(|table| table.get(key)).map(Spanned::get_ref);
        matches!(value, Some(DeValue::Array(items)) if items.is_empty())
    }

    pub fn item(&self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        debug_assert!(
            schema::names(self.title).contains(&key),
            "{} is not in the table of keys",
            self.name(key)
        );
        self.table.and_then(|table| table.get(key))
    }

    fn wrong_type(&self, diagnostics: &mut Diagnostics, key: &str, item: &Spanned<DeValue>, wanted: &str) {
        let reason = format!("{} takes {wanted}, not {}", self.name(key), what(item.get_ref()));
        diagnostics.mistake(Mistake::new(item.span(), reason));
    }

    pub fn text(&self, diagnostics: &mut Diagnostics, key: &'static str) -> Option<Spanned<&'t str>> {
        let item = self.item(key)?;
        match item.get_ref() {
            DeValue::String(text) => Some(Spanned::new(item.span(), text)),
            _ => {
                self.wrong_type(diagnostics, key, item, "a quoted string");
                None
            }
        }
    }

    /// A string that is parsed as a value of type `T`.
    pub fn value<T: FromStr<Err = Invalid>>(
        &self,
        diagnostics: &mut Diagnostics,
        key: &'static str,
    ) -> Option<Spanned<T>> {
        self.value_with(diagnostics, key, |text| text.parse())
    }

    pub fn value_with<T>(
        &self,
        diagnostics: &mut Diagnostics,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, Invalid>,
    ) -> Option<Spanned<T>> {
        let text = self.text(diagnostics, key)?;
        self.read(diagnostics, key, text, &read)
    }

    /// A list of strings, each parsed as a value of type `T`; a single string is a list of one.
    pub fn values<T>(
        &self,
        diagnostics: &mut Diagnostics,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, Invalid>,
    ) -> Option<Vec<Spanned<T>>> {
        let item = self.item(key)?;
        let items = match item.get_ref() {
            DeValue::Array(items) => items.as_ref(),
            DeValue::String(_) => std::slice::from_ref(item),
            _ => {
                self.wrong_type(diagnostics, key, item, "a list of quoted strings");
                return None;
            }
        };
        let mut values = Vec::new();
        for item in items {
            match item.get_ref() {
                DeValue::String(text) => {
                    values.extend(self.read(diagnostics, key, Spanned::new(item.span(), text), &read));
                }
                other => {
                    let reason =
                        format!("{} takes quoted strings; this item is {}", self.name(key), what(other));
                    diagnostics.mistake(Mistake::new(item.span(), reason));
                }
            }
        }
        Some(values)
    }

    fn read<T>(
        &self,
        diagnostics: &mut Diagnostics,
        key: &str,
        text: Spanned<&str>,
        read: &impl Fn(&str) -> Result<T, Invalid>,
    ) -> Option<Spanned<T>> {
        match read(text.get_ref()) {
            Ok(value) => Some(Spanned::new(text.span(), value)),
            Err(Invalid(why)) => {
                let reason = format!("{} cannot be {}: {why}", self.name(key), quoted(text.get_ref()));
                diagnostics.mistake(Mistake::new(text.span(), reason));
                None
            }
        }
    }

    /// One of a few words, each with its value.
    pub fn choice<T: Copy>(
        &self,
        diagnostics: &mut Diagnostics,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        self.value_with(diagnostics, key, |text| choose(text, choices)).map(Spanned::into_inner)
    }

    pub fn bool(&self, diagnostics: &mut Diagnostics, key: &'static str) -> Option<Spanned<bool>> {
        let item = self.item(key)?;
        match item.get_ref() {
            DeValue::Boolean(value) => Some(Spanned::new(item.span(), *value)),
            _ => {
                self.wrong_type(diagnostics, key, item, "true or false");
                None
            }
        }
    }

    /// A number in the range that the table of keys has.
    pub fn number(&self, diagnostics: &mut Diagnostics, key: &'static str) -> Option<u32> {
        let item = self.item(key)?;
        let Some(ValueKind::Number(min, max)) = schema::find(self.title, key).map(|key| key.kind) else {
            return None;
        };
        match integer(item.get_ref()).map(u32::try_from) {
            Some(Ok(value)) if (min..=max).contains(&value) => return Some(value),
            Some(_) => {
                let reason = format!("{} takes a number from {min} to {max}", self.name(key));
                diagnostics.mistake(Mistake::new(item.span(), reason));
            }
            None => self.wrong_type(diagnostics, key, item, "a whole number"),
        }
        None
    }

    /// The schema number, read by itself: nothing is known about other numbers.
    pub fn integer(&self, diagnostics: &mut Diagnostics, key: &'static str) -> Option<Spanned<i128>> {
        let item = self.item(key)?;
        let value = integer(item.get_ref());
        if value.is_none() {
            self.wrong_type(diagnostics, key, item, "a whole number");
        }
        value.map(|value| Spanned::new(item.span(), value))
    }

    /// The raw entries of this table in the order of the file; all of them are then marked as known.
    pub fn entries(&self) -> Vec<(&'t str, Span, &'t Spanned<DeValue<'t>>)> {
        let mut entries: Vec<_> = self
            .table
            .into_iter()
            .flat_map(|table| table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)))
            .collect();
        entries.sort_by_key(|(_, span, _)| span.start);
        entries
    }

    /// A table below this one, by its key and by the title that its header has.
    pub fn table(
        &self,
        diagnostics: &mut Diagnostics,
        key: &'static str,
        title: &'static str,
    ) -> Section<'t> {
        let empty = Section { title, span: None, table: None, wrong: false };
        let Some(item) = self.item(key) else { return empty };
        match item.get_ref() {
            DeValue::Table(table) => Section { span: Some(item.span()), table: Some(table), ..empty },
            _ => {
                let reason = format!("{key} is a table, not {}", what(item.get_ref()));
                diagnostics.mistake(Mistake::new(item.span(), reason).help(format!("write it as {title}")));
                Section { wrong: true, ..empty }
            }
        }
    }

    /// The tables of a list, `[[node]]`, in the order of the file.
    pub fn tables(
        &self,
        diagnostics: &mut Diagnostics,
        key: &'static str,
        title: &'static str,
    ) -> Vec<Section<'t>> {
        let Some(item) = self.item(key) else { return Vec::new() };
        let wrong = |item: &Spanned<DeValue>| {
            let reason = format!("{key} is a list of tables, not {}", what(item.get_ref()));
            Mistake::new(item.span(), reason).help(format!("write each one as {title}"))
        };
        let items = match item.get_ref() {
            DeValue::Array(items) => items.as_ref(),
            other => {
                diagnostics.mistake(wrong(item));
                // The keys of a single [node] can be checked all the same.
                if other.is_table() { std::slice::from_ref(item) } else { &[] }
            }
        };
        let mut sections = Vec::new();
        for item in items {
            match item.get_ref() {
                DeValue::Table(table) => sections.push(Section {
                    title,
                    span: Some(item.span()),
                    table: Some(table),
                    wrong: false,
                }),
                _ => diagnostics.mistake(wrong(item)),
            }
        }
        sections
    }

    /// Reports a required key that is missing.
    pub fn require(&self, diagnostics: &mut Diagnostics, key: &str) {
        if self.has(key) || self.wrong {
            return;
        }
        let Some(Usual::Required(example)) = schema::find(self.title, key).map(|key| key.usual) else {
            return;
        };
        let help = match (&self.span, self.title) {
            (Some(_), _) => format!("write, for example, {example}"),
            (None, "") => format!("write {example} at the top of the file"),
            (None, title) => format!("write, for example:\n{title}\n{example}"),
        };
        let reason = format!("{} is missing", self.name(key));
        diagnostics.mistake(Mistake::missing(self.span.clone(), reason).help(help));
    }

    /// Refuses every key that the table of keys does not have.
    pub fn finish(self, diagnostics: &mut Diagnostics) {
        let known = schema::names(self.title);
        for (key, span, _) in self.entries() {
            if known.contains(&key) {
                continue;
            }
            let place = if self.title.is_empty() { String::new() } else { format!(" in {}", self.title) };
            let place_name = if self.title.is_empty() { "the top level" } else { self.title };
            let takes = format!("{place_name} takes {}", listed(&known));
            let help = match (place_of(self.title, key), suggest::nearest(key, known.iter().copied())) {
                // The tables of the top level have names of their own.
                (_, Some(meant)) if self.title.is_empty() => format!("did you mean {meant}? {takes}"),
                (Some(other), _) => format!("{other}; {takes}"),
                (None, Some(meant)) => format!("did you mean {meant}? {takes}"),
                (None, None) => takes,
            };
            diagnostics.mistake(Mistake::new(span, format!("unknown key {}{place}", quoted(key))).help(help));
        }
    }
}

/// Where a key belongs that another table has, or that is an option of etcd.
pub(super) fn place_of(table: &str, key: &str) -> Option<String> {
    let tables = schema::elsewhere(table, key);
    if !tables.is_empty() {
        let named = |table: &'static str| {
            if table.is_empty() { "the top level, above the first [table]" } else { table }
        };
        let tables: Vec<_> = tables.iter().copied().map(named).collect();
        return Some(format!("it is a key of {}", or_listed(&tables)));
    }
    let is_option = table != "[etcd.config]" && !keys::releases_with(key).is_empty();
    is_option.then(|| "it is an option of etcd, for [etcd.config]".to_owned())
}

/// One of a few words.
pub(super) fn choose<T: Copy>(text: &str, choices: &[(&'static str, T)]) -> Result<T, Invalid> {
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let meant = suggest::nearest(text, words.iter().copied());
        let meant = meant.map(|word| format!("; did you mean {word}?")).unwrap_or_default();
        Invalid(format!("it takes {}{meant}", or_listed(&words)))
    })
}

/// A user's own text in quotes, with control characters escaped, and truncated to fit a line.
pub(super) fn quoted(text: &str) -> String {
    if looks_private(text) {
        return "what looks like a private key".into();
    }
    let text = without_passwords(text);
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}", format!("{}…", &text[..end])),
        None => format!("{text:?}"),
    }
}

pub(super) fn listed(words: &[&str]) -> String {
    joined(words, "and")
}

fn or_listed(words: &[&str]) -> String {
    joined(words, "or")
}

fn joined(words: &[&str], last: &str) -> String {
    match words {
        [] => "nothing".into(),
        [one] => (*one).into(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

fn integer(value: &DeValue) -> Option<i128> {
    value.as_integer().map(|integer| {
        // A number that does not fit into 128 bits is out of every range below.
        i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i128::MAX)
    })
}

/// A value's kind with its article.
pub(super) fn what(value: &DeValue) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A value for the table of etcd's options, which does not depend on TOML.
pub(super) fn given<'t>(value: &'t DeValue) -> Given<'t> {
    match value {
        DeValue::String(text) => Given::Text(text),
        DeValue::Integer(_) => Given::Int(integer(value).unwrap_or(i128::MAX)),
        DeValue::Boolean(value) => Given::Bool(*value),
        DeValue::Array(items) => match items.iter().map(|item| item.get_ref().as_str()).collect() {
            Some(texts) => Given::List(texts),
            None => Given::Other("a list that contains a non-string"),
        },
        other => Given::Other(what(other)),
    }
}
