//! A whole keystore as one text: all of its files, with their secrets in plain. What leaves this machine of it is
//! encrypted, or typed from paper.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::source::{Files, Part};
use super::{Keystore, page};
use crate::failure::{Failure, Result};
use crate::pki::copies::Exported;
use crate::pki::place::{FOREIGN, LIST, MAX_PART_BYTES, PARTS, SECRET};
use crate::pki::successor;
use crate::values::{Digest, Epoch};

/// The first line of an export, before the number of its schema.
const MAGIC: &str = "kiln keystore export, schema ";

/// The schema that this version of Kiln writes and reads.
const SCHEMA: &str = "1";

/// How a keystore leaves its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exports {
    /// As a file.
    File,
    /// As lines that can be typed in again.
    Page,
}

impl Keystore {
    /// All of it, as it is, recorded as its last export; `save` writes that record.
    ///
    /// # Errors
    /// `Exit::Untrusted` when it cannot be rendered.
    pub fn export(&mut self, date: Epoch, how: Exports) -> Result<Zeroizing<Vec<u8>>> {
        let has_successor = self.successor.is_some();
        self.exported = Some(Exported { date, state: self.state()?, has_successor });
        match how {
            Exports::File => self.document(),
            Exports::Page => page::write(self),
        }
    }

    /// What an export of it has not: a secret that is kept elsewhere.
    pub fn missing_in_export(&self) -> Option<&'static str> {
        (self.renews_on_nodes() == Some(true) && self.successor.is_none())
            .then_some("the secret of the successors of its CAs, which is kept elsewhere")
    }

    /// When it was last exported, and whether it has not changed since.
    pub fn last_export(&self) -> Option<(Epoch, bool)> {
        let exported = self.exported.as_ref()?;
        let is_all = exported.has_successor || self.successor.is_none();
        Some((exported.date, is_all && self.state().is_ok_and(|state| state == exported.state)))
    }

    /// A sentence for after a change, where the last export is older than that.
    pub fn reminder(&self) -> Option<String> {
        let (date, false) = self.last_export()? else { return None };
        Some(format!(
            "the last export of this keystore, of {date}, is older than this change; export it again with kiln keystore \
             export {}",
            self.cluster
        ))
    }

    /// Its files, secrets in plain, in the order of `PARTS`.
    pub(super) fn files(&self) -> Result<Vec<Part>> {
        let plain = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
        let mut files = vec![(LIST, plain(&self.render()?)), (SECRET, plain(&self.secret.to_text()))];
        for (authority, chain, key) in FOREIGN {
            if let Some(ca) = self.imported.get(authority) {
                files.extend([(chain, Zeroizing::new(ca.chain.clone())), (key, ca.key.pem.clone())]);
            }
        }
        files.extend(self.successor.iter().map(|own| (successor::SECRET, plain(&own.to_text()))));
        files.extend(self.successors.files().map(|(file, text)| (file, plain(text))));
        Ok(files)
    }

    /// The text of an export.
    pub(super) fn document(&self) -> Result<Zeroizing<Vec<u8>>> {
        let mut body = Zeroizing::new(format!("cluster {}\n", self.cluster).into_bytes());
        for (name, bytes) in self.files()? {
            let mut line = String::new();
            // Writing to a String cannot fail.
            let _ = writeln!(line, "file {name} {}", bytes.len());
            // Room for all of it at once: a vector that grows leaves copies of a secret behind.
            body.reserve(line.len() + bytes.len());
            body.extend_from_slice(line.as_bytes());
            body.extend_from_slice(&bytes);
        }
        let head = format!("{MAGIC}{SCHEMA}\nsha256 {}\n", Digest::of(&body));
        Ok(Zeroizing::new([head.as_bytes(), &body].concat()))
    }
}

fn damaged(what: &str) -> Failure {
    Failure::untrusted(format!("the export is damaged: {what}; use another copy"))
}

/// The next line, without its end, which is taken off.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (line, after) = rest.split_at(end);
    *rest = &after[1..];
    std::str::from_utf8(line).ok()
}

/// The files in the text of an export.
///
/// # Errors
/// `Exit::Untrusted` when it is none, of another schema, or a byte of it is wrong.
pub(super) fn parse(document: &[u8]) -> Result<Files> {
    let mut rest = document;
    let first = line(&mut rest).and_then(|line| line.strip_prefix(MAGIC));
    match first {
        Some(SCHEMA) => {}
        Some(other) if !other.is_empty() && other.len() < 10 && other.bytes().all(|b| b.is_ascii_digit()) => {
            return Err(Failure::untrusted(format!(
                "export schema {other} is not supported; this version of Kiln reads schema {SCHEMA}"
            )));
        }
        _ => {
            return Err(Failure::untrusted(
                "what it holds is not an export of a keystore; name a file that kiln keystore export has written",
            ));
        }
    }
    let digest = line(&mut rest).and_then(|line| line.strip_prefix("sha256 "));
    if digest != Some(&Digest::of(rest).to_string()) {
        return Err(damaged("its checksum does not match"));
    }
    line(&mut rest)
        .and_then(|line| line.strip_prefix("cluster "))
        .ok_or_else(|| damaged("it names no cluster"))?;
    let mut files = BTreeMap::new();
    let mut parts = PARTS.into_iter();
    while !rest.is_empty() {
        let words = line(&mut rest).and_then(|line| line.strip_prefix("file "));
        let (name, size) =
            words.and_then(|words| words.split_once(' ')).ok_or_else(|| damaged("a file has no name"))?;
        // In their order, so that each is there once.
        if !parts.any(|part| part == name) {
            return Err(damaged("it holds a file that no keystore has, or one twice"));
        }
        let size =
            size.parse::<u64>().ok().filter(|size| *size <= MAX_PART_BYTES && *size <= rest.len() as u64);
        let size =
            size.and_then(|size| usize::try_from(size).ok()).ok_or_else(|| damaged("a file is cut off"))?;
        let (bytes, after) = rest.split_at(size);
        files.insert(name.to_owned(), Zeroizing::new(bytes.to_vec()));
        rest = after;
    }
    Ok(files)
}
