//! A key that a profile may have, as data.

/// A key of a profile.
pub struct Key {
    /// Its table, as the header is written: `[cluster]`, `[[node]]`; empty for the top of the file.
    pub table: &'static str,
    pub name: &'static str,
    pub kind: ValueKind,
    pub usual: Usual,
    /// Its purpose; Markdown without a line end.
    pub about: &'static str,
}

/// The values of a key.
#[derive(Clone, Copy)]
pub enum ValueKind {
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    Bool,
    /// A whole number within these limits.
    Number(u32, u32),
    /// The number of the schema.
    Schema,
    /// Several strings; a single one may be written without the list.
    Texts,
    /// Several of the carriers.
    Carriers,
    /// A table with keys that are not listed here, such as etcd's own options.
    Options,
    /// A table with keys of its own, which are rows of their own.
    Table,
    /// A table of lines for a section of a systemd unit.
    Lines,
    /// `true` for all nodes, or the names of some.
    Nodes,
}

/// The value of a key that is not written.
#[derive(Clone, Copy)]
pub enum Usual {
    /// The profile is invalid without it. An example of the whole line.
    Required(&'static str),
    /// In the syntax of a profile, without quotes.
    Is(&'static str),
    /// A description of how it is derived.
    Follows(&'static str),
    None,
}

pub const fn key(
    table: &'static str,
    name: &'static str,
    kind: ValueKind,
    usual: Usual,
    about: &'static str,
) -> Key {
    Key { table, name, kind, usual, about }
}

pub const fn number(of: (u32, u32)) -> ValueKind {
    ValueKind::Number(of.0, of.1)
}

impl Key {
    /// The header of the table that this key is: `[etcd.service]`.
    pub fn below(&self) -> String {
        format!("[{}.{}]", self.table.trim_matches(['[', ']']), self.name)
    }

    /// `[cluster] name`, or `schema` alone.
    pub fn path(&self) -> String {
        format!("{} {}", self.table, self.name).trim_start().to_owned()
    }
}
