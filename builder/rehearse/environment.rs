//! Files of environment variables, as systemd reads them.

use std::path::{Path, PathBuf};

use super::files::{below, is, text};
use crate::disk;
use crate::failure::{Failure, Result};

/// An EnvironmentFile (systemd.exec(5)): `-` before a path that may be missing.
pub fn environment_file(root: &Path, value: &str) -> Result<Vec<(String, String)>> {
    let (path, optional) = match value.strip_prefix('-') {
        Some(path) => (path, true),
        None => (value, false),
    };
    if path.contains(['*', '?', '[']) {
        return Err(Failure::wrong(format!("EnvironmentFile={value} is a pattern; name each file")));
    }
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let inside: PathBuf = below(root, directory)?.join(name);
    if !is(&inside, disk::Kind::File)? {
        return if optional {
            Ok(Vec::new())
        } else {
            Err(Failure::wrong(format!(
                "EnvironmentFile={value} is not on the node; systemd would refuse to start"
            )))
        };
    }
    Ok(environment_lines(&text(&inside)?))
}

/// `NAME=VALUE` lines. A value may be quoted; a backslash at a line's end continues it; comments begin with `#` or
/// `;`; anything else that is not an assignment is ignored, as systemd does.
fn environment_lines(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let joined = text.replace("\\\n", "");
    for line in joined.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some((name, value)) = line.split_once('=') {
            pairs.push((name.trim().to_owned(), unquote(value.trim())));
        }
    }
    pairs
}

fn unquote(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut quote = None;
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            // In double quotes only these can be escaped; outside of quotes, anything (env-file.c).
            ('\\', Some('"')) => match rest.next() {
                Some(c @ ('"' | '\\' | '`' | '$')) => text.push(c),
                Some(c) => text.extend(['\\', c]),
                None => text.push('\\'),
            },
            ('\\', None) => text.extend(rest.next()),
            (c, _) => text.push(c),
        }
    }
    text
}
