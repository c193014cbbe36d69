//! `kiln keystore restore`.

use serde_json::json;
use zeroize::Zeroizing;

use super::shown::shown;
use crate::cipher;
use crate::cli;
use crate::commands::named;
use crate::commands::output::{Output, and_said};
use crate::failure::{Doing, Failure, Result};
use crate::pki::{Exports, Restored};
use crate::unlock;

/// The largest export or page that is read, in bytes.
const MAX_BYTES: u64 = 64 << 20;

pub fn run(args: &cli::Restore, out: &Output) -> Result<()> {
    let path = named::keystore_path(args.keys.keystore.as_ref(), &args.cluster);
    let to = Restored { dir: &path, cluster: &args.cluster };
    // Before a passphrase is asked for.
    to.check()?;
    let reading = || format!("reading {}", args.file.display());
    let open = match args.paper {
        true => named::open_to_others(&args.file, "the keystore's secret")?,
        false => None,
    };
    let bytes = Zeroizing::new(named::given(&args.file, MAX_BYTES)?);
    let keystore = match (args.paper, cipher::is_encrypted(&bytes)) {
        (true, true) => {
            return Err(Failure::untrusted("it is an encrypted export, not a page; leave out --paper"))
                .doing(reading);
        }
        (false, false) => {
            let reason =
                "it is not encrypted with age, as an export is; for a page that was typed in give --paper";
            return Err(Failure::untrusted(reason)).doing(reading);
        }
        (true, false) => to.write(&bytes, Exports::Page).doing(reading)?,
        (false, true) => {
            let text = unlock::decrypted(&bytes, &args.file.display().to_string()).doing(reading)?;
            to.write(&text, Exports::File).doing(reading)?
        }
    };
    open.iter().for_each(|warning| out.warn(warning));
    if let Some(missing) = keystore.missing_in_export() {
        out.warn(format_args!("the export was made without {missing}"));
    }
    let done = format!("restored {} from {}", path.display(), args.file.display());
    let said = match args.json {
        true => out.json(&json!({
            "keystore": path, "cluster": args.cluster, "token": keystore.token(),
            "without_successors_secret": keystore.missing_in_export().is_some(),
        })),
        false => shown(&path, &keystore).and_then(|shown| out.print(format_args!("{done}\n{shown}"))),
    };
    and_said(&done, said)
}
