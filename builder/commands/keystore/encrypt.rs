//! `kiln keystore encrypt` and `decrypt`.

use std::path::Path;

use serde_json::json;

use crate::cipher;
use crate::cli;
use crate::commands::ask::confirm;
use crate::commands::named;
use crate::commands::output::{Output, and_said};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::pki::Keystore;
use crate::unlock;

pub fn encrypt(args: &cli::Encrypt, out: &Output) -> Result<()> {
    let cli::Recipients { recipient, recipients_file } = &args.recipients;
    let recipients = match args.passphrase {
        true => None,
        false if recipient.is_empty() && recipients_file.is_empty() => {
            return Err(Failure::new(
                Exit::Usage,
                "say who can decrypt it: --recipient KEY, or --passphrase",
            ));
        }
        false => Some(cipher::recipients(recipient, recipients_file)?),
    };
    let path = named::keystore_path(args.keys.keystore.as_ref(), &args.cluster);
    if let Some(recipients) = &recipients {
        can_decrypt(recipients, args.yes, out)?;
    }
    let keystore = Keystore::encrypt(&path, &args.cluster, recipients)?;
    let how = keystore.protection().unwrap_or_default();
    let needs = match args.passphrase {
        true => "every verb that opens it asks for that",
        false => "every verb that opens it needs --identity FILE or KILN_IDENTITY",
    };
    let done = format!("the secrets in {} are {how}", path.display());
    let advice = "copies from before, and the blocks of the old files on the disk, may still be in plain";
    tell(&path, args.json, &done, &format!("{done}: {needs}; {advice}"), &keystore, out)
}

/// The plain files go: someone has to have an identity, as a trial with the one that is given shows.
///
/// # Errors
/// `Exit::Untrusted` where none that is given decrypts, `Exit::Unsafe` where none is given and the answer is not yes.
fn can_decrypt(recipients: &[cipher::Recipient], yes: bool, out: &Output) -> Result<()> {
    const TRIAL: &[u8] = b"a trial";
    if yes {
        return Ok(());
    }
    if unlock::has_identities() {
        let trial = cipher::encrypt(TRIAL, cipher::To::Recipients(recipients), false)?;
        let trying = || {
            "no identity that was given can decrypt what is about to be written; name that of a recipient, too, or pass --yes"
                .to_owned()
        };
        return unlock::decrypted(&trial, "a trial").doing(trying).map(drop);
    }
    out.announce("no --identity was given, so nothing shows that anyone can decrypt it again");
    confirm("encrypt it, and replace the plain files", "nothing was changed")
}

pub fn decrypt(args: &cli::Decrypt, out: &Output) -> Result<()> {
    let path = named::keystore_path(args.keys.keystore.as_ref(), &args.cluster);
    if !args.yes {
        out.announce(format_args!(
            "this writes the secrets of {} in plain to {}",
            args.cluster,
            path.display()
        ));
        confirm("continue", "nothing was changed")?;
    }
    let keystore = Keystore::decrypt(&path, &args.cluster)?;
    let done = format!("the secrets in {} are in plain", path.display());
    tell(&path, args.json, &done, &done, &keystore, out)
}

fn tell(path: &Path, json: bool, done: &str, said: &str, keystore: &Keystore, out: &Output) -> Result<()> {
    let said = match json {
        true => out.json(&json!({
            "keystore": path, "cluster": keystore.cluster(), "secret": keystore.protection(),
        })),
        false => out.print(said),
    };
    and_said(done, said)
}
