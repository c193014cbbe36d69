//! `keystore.toml` as text, with a checksum that detects a change of any byte.

use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Keystore;
use crate::disk;
use crate::failure::{Failure, Result};
use crate::pki::copies::{Encrypted, Exported};
use crate::pki::damage::changed;
use crate::pki::list::{
    SCHEMA, SCHEMA_WITH_AUTHORITIES, SCHEMA_WITH_EXPORT, SCHEMA_WITH_PEER_CA, SCHEMA_WITH_RECORD,
    SCHEMA_WITH_RESTORES, SCHEMA_WITH_SUCCESSORS,
};
use crate::pki::place::{FOREIGN, SECRET, part};
use crate::pki::record;
use crate::pki::restores;
use crate::pki::secret::Secret;
use crate::plan::PEER_CA;
use crate::values::{Digest, hex};

const HEADING: &str = "# Written by kiln, and read only as it wrote it: a change by hand is refused.\n";

/// What `completed` adds, so that the text can be parsed: neither line counts.
const CHECK: &str = "check = ";
const STATE: &str = "state = ";

/// `keystore.toml` without what Kiln can add again: its heading, its own checksum, the digest of the state that was
/// exported, which is this one, and empty lines.
pub(super) fn abridged(rendered: &str) -> String {
    let lines = rendered.strip_prefix(HEADING).unwrap_or(rendered).lines();
    let is_left_out = |line: &str| line.is_empty() || line.starts_with(CHECK) || line.starts_with(STATE);
    let lines = lines.filter(|line| !is_left_out(line));
    lines.fold(String::new(), |text, line| text + line + "\n")
}

/// Such a text, so that it can be parsed.
pub(super) fn completed(abridged: &str) -> String {
    let state = format!("[exported]\n{STATE}\"{}\"\n", Digest::of(b""));
    format!("{CHECK}\"\"\n{}", abridged.replace("[exported]\n", &state))
}

impl Keystore {
    /// Identifies this state of this keystore, without revealing anything of its secret.
    ///
    /// # Errors
    /// As `save`.
    pub fn fingerprint(&self) -> Result<Digest> {
        // The text contains a checksum that is derived from the secret and covers everything else.
        self.render().map(|text| Digest::of(text.as_bytes()))
    }

    /// Identifies what it is, whatever was exported of it and however its secrets lie in the directory: two with the
    /// same one give the same bundles.
    ///
    /// # Errors
    /// As `save`.
    pub fn state(&self) -> Result<Digest> {
        self.rendered(None, None).map(|text| Digest::of(text.as_bytes()))
    }

    /// `keystore.toml`.
    pub(super) fn render(&self) -> Result<String> {
        self.rendered(self.exported.as_ref(), self.encrypted.as_ref())
    }

    fn rendered(&self, exported: Option<&Exported>, encrypted: Option<&Encrypted>) -> Result<String> {
        let schema = match &self.fixed {
            _ if !self.restores.is_empty() => SCHEMA_WITH_RESTORES,
            _ if exported.is_some() || encrypted.is_some() => SCHEMA_WITH_EXPORT,
            Some(fixed) if fixed.renews_on_nodes() => SCHEMA_WITH_SUCCESSORS,
            _ if self.has_imported(PEER_CA) => SCHEMA_WITH_PEER_CA,
            Some(fixed) if !fixed.authorities.is_empty() => SCHEMA_WITH_AUTHORITIES,
            None if self.formed.is_empty() => SCHEMA,
            _ => SCHEMA_WITH_RECORD,
        };
        let ca = if self.has_imported_ca() { "imported" } else { "derived" };
        let mut head = format!("schema = {schema}\ncluster = \"{}\"\nca = \"{ca}\"\n", self.cluster);
        if self.has_imported(PEER_CA) {
            head.push_str("peer-ca = \"imported\"\n");
        }
        if !self.sealed.is_empty() {
            let tokens: Vec<_> = self.sealed.iter().map(|token| format!("\"{token}\"")).collect();
            head.push_str(&format!("sealed = [{}]\n", tokens.join(", ")));
        }
        let mut rest = record::render(self.fixed.as_ref(), &self.formed);
        for issue in self.issues.all() {
            rest.push_str(&format!("\n[[issue]]\nnumber = {}\ndate = \"{}\"\n", issue.number, issue.date));
        }
        rest.push_str(&restores::render(&self.restores));
        rest.push_str(&exported.map(Exported::render).unwrap_or_default());
        rest.push_str(&encrypted.map(Encrypted::render).unwrap_or_default());
        let imported: Vec<_> = self.imported.values().map(|ca| (&*ca.chain, &**ca.key.pem)).collect();
        let check = check(&self.secret, &head, &rest, &imported)?;
        Ok(format!("{HEADING}{head}check = \"{check}\"\n{rest}"))
    }
}

/// HMAC-SHA256 (RFC 2104) in hex, keyed by the secret, of the list's text before and after the checksum's own line,
/// and of the two files of each imported CA, of which the text says which there are.
fn check(secret: &Secret, head: &str, rest: &str, imported: &[(&[u8], &[u8])]) -> Result<String> {
    let key = secret.derive::<32>(&["check"])?;
    let mut check = Hmac::<Sha256>::new_from_slice(&*key)
        .map_err(|_| Failure::untrusted("the keystore's check cannot be computed"))?;
    check.update(head.as_bytes());
    check.update(rest.as_bytes());
    for (chain, key) in imported {
        check.update(Digest::of(chain).bytes());
        check.update(Digest::of(key).bytes());
    }
    Ok(hex(&check.finalize().into_bytes()))
}

/// A changed `keystore.toml` with the checksum that Kiln would have written: for tests that check the parser itself
/// and not the checksum. The rest of the keystore is in this directory.
///
/// # Errors
/// `Exit::Untrusted` when a file is missing there, or the text has no line for the checksum.
#[doc(hidden)]
pub fn resealed(dir: &Path, text: &str) -> Result<String> {
    let secret = Secret::from_text(&part(dir, SECRET)?).ok_or_else(changed)?;
    let body = text.strip_prefix(HEADING).ok_or_else(changed)?;
    let (head, after) = body.split_once("check = ").ok_or_else(changed)?;
    let (_, rest) = after.split_once('\n').ok_or_else(changed)?;
    let mut imported = Vec::new();
    for (_, chain, key) in FOREIGN {
        if disk::look(&dir.join(chain))?.is_some() {
            imported.push((part(dir, chain)?, part(dir, key)?));
        }
    }
    let imported: Vec<_> = imported.iter().map(|(chain, key)| (chain.as_slice(), key.as_slice())).collect();
    let check = check(&secret, head, rest, &imported)?;
    Ok(format!("{HEADING}{head}check = \"{check}\"\n{rest}"))
}
