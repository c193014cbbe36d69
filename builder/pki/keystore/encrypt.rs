//! A keystore whose secrets lie encrypted in its directory.

use std::path::Path;

use zeroize::Zeroizing;

use super::Keystore;
use crate::cipher::{self, Recipient, To};
use crate::disk::Staging;
use crate::failure::{Failure, Result};
use crate::pki::copies::Encrypted;
use crate::pki::place::encrypted;
use crate::unlock;
use crate::values::ClusterName;

impl Keystore {
    /// Encrypts its secrets in its directory to these recipients, or with a passphrase that is asked for.
    ///
    /// # Errors
    /// As `renew`; `Exit::Unsafe` when its secret is not in its directory; those of `unlock`.
    pub fn encrypt(dir: &Path, cluster: &ClusterName, to: Option<Vec<Recipient>>) -> Result<Self> {
        let mut keystore = Self::open_to_change(dir, cluster)?;
        if keystore.is_secret_elsewhere {
            return Err(Failure::unsafe_to(format!(
                "the secret of {cluster} is not in {}, so there is nothing to encrypt",
                dir.display()
            )));
        }
        keystore.encrypted = Some(match to {
            Some(recipients) => Encrypted::Recipients(recipients),
            None => {
                keystore.ask_for_new_passphrase()?;
                Encrypted::Passphrase
            }
        });
        keystore.exchange(dir)?;
        Ok(keystore)
    }

    /// Writes its secrets in plain into its directory again.
    ///
    /// # Errors
    /// As `encrypt`; `Exit::Unsafe` when they are not encrypted.
    pub fn decrypt(dir: &Path, cluster: &ClusterName) -> Result<Self> {
        let mut keystore = Self::open_to_change(dir, cluster)?;
        if keystore.encrypted.take().is_none() {
            return Err(Failure::unsafe_to(format!("the secrets in {} are not encrypted", dir.display())));
        }
        keystore.exchange(dir)?;
        Ok(keystore)
    }

    /// Replaces the whole directory, under the lock that it holds.
    fn exchange(&mut self, dir: &Path) -> Result<()> {
        let lock = self.lock.take();
        self.lock = self.store(Staging::begin_holding(dir, lock)?)?;
        self.stored = Some(self.fingerprint()?);
        Ok(())
    }

    pub(super) fn ask_for_new_passphrase(&self) -> Result<()> {
        unlock::new_passphrase(&self.asked_for()).map(drop)
    }

    /// What it is called where its passphrase is asked for.
    fn asked_for(&self) -> String {
        format!("the keystore of {}", self.cluster)
    }

    /// How its secrets lie in its directory, in words; `None` where they do in plain.
    pub fn protection(&self) -> Option<String> {
        let recipients = |all: &[Recipient]| all.iter().map(Recipient::as_str).collect::<Vec<_>>().join(", ");
        let encrypted = self.encrypted.as_ref().map(|how| match how {
            Encrypted::Passphrase => "encrypted with a passphrase".to_owned(),
            Encrypted::Recipients(all) => format!("encrypted to {}", recipients(all)),
        });
        match self.is_secret_elsewhere {
            true => Some("kept elsewhere; the command of --secret-from printed it".to_owned()),
            false => encrypted,
        }
    }

    /// The name and the bytes of the file that holds this part.
    ///
    /// # Errors
    /// As `cipher::encrypt`, and those of `unlock`.
    pub(super) fn kept(&self, name: &str, bytes: &[u8]) -> Result<(String, Vec<u8>)> {
        let passphrase: Zeroizing<String>;
        let to = match &self.encrypted {
            None => return Ok((name.to_owned(), bytes.to_vec())),
            Some(Encrypted::Recipients(all)) => To::Recipients(all),
            Some(Encrypted::Passphrase) => {
                passphrase = unlock::passphrase(&self.asked_for())?;
                To::Passphrase(&passphrase)
            }
        };
        Ok((encrypted(name), cipher::encrypt(bytes, to, false)?))
    }
}
