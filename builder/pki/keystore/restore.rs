//! A keystore from an export, or from a page.

use std::path::Path;

use super::save::begin_new;
use super::source::Source;
use super::{Exports, Keystore, export, page};
use crate::failure::{Doing, Failure, Result};
use crate::pki::copies::Encrypted;
use crate::pki::place::refuse_existing;
use crate::values::ClusterName;

/// Where a keystore is restored to.
#[derive(Clone, Copy)]
pub struct Restored<'a> {
    pub dir: &'a Path,
    pub cluster: &'a ClusterName,
}

impl Restored<'_> {
    /// Checks that there is nothing yet.
    ///
    /// # Errors
    /// `Exit::Unsafe` when there is.
    pub fn check(&self) -> Result<()> {
        refuse_existing(self.dir)
    }

    /// Writes the keystore that is in a text, as it was exported: the same files, byte for byte, but for secrets that
    /// are encrypted, which are encrypted anew.
    ///
    /// # Errors
    /// As `check`; `Exit::Untrusted` when anything in the text is wrong; `Exit::Unsafe` when it is another cluster's.
    pub fn write(&self, text: &[u8], how: Exports) -> Result<Keystore> {
        self.check()?;
        let mut keystore = match how {
            Exports::File => {
                let files = export::parse(text)?;
                let keystore = Keystore::read(&Source::Export(&files), self.cluster)?;
                // Whatever is in it beyond that was never written by Kiln.
                if *keystore.document()? != text {
                    return Err(Failure::untrusted(
                        "the export holds more than its keystore; use another copy",
                    ));
                }
                keystore
            }
            Exports::Page => {
                let files = page::parse(text)?;
                Keystore::read(&Source::Page(&files), self.cluster)
                    .doing(|| "putting the page together".into())?
            }
        };
        keystore.stored = None;
        if keystore.encrypted == Some(Encrypted::Passphrase) {
            keystore.ask_for_new_passphrase()?;
        }
        keystore.lock = keystore.store(begin_new(self.dir)?)?;
        keystore.has_stored_successors = !keystore.successors.is_empty();
        keystore.stored = Some(keystore.fingerprint()?);
        Ok(keystore)
    }
}
