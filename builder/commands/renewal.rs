//! Who renews certificates, where a profile does not say it: its keystore has decided.

use super::named;
use super::output::Output;
use crate::carrier;
use crate::cli;
use crate::etcd::Release;
use crate::pki;
use crate::profile::{self, Mistakes, Profile, Source, Warning};
use crate::values::{Arch, Setting};

/// Reads a profile. One that says nothing of renewals is read as its keystore has decided, so that all checks are those
/// of a profile that says it. Where none has decided yet, nodes renew if its release and its CAs allow it, else the
/// desk.
///
/// # Errors
/// Its mistakes. Where they come of what the keystore has decided, a warning says so.
pub fn read(
    source: &Source,
    available: &[(Release, Arch)],
    keys: Option<&cli::Keys>,
    out: &Output,
) -> Result<(Profile, Vec<Warning>), Mistakes> {
    let read = |source: &Source| profile::read(source, available, carrier::all());
    let (mut profile, warnings) = read(source)?;
    if profile.pki.says_who_renews {
        return Ok((profile, warnings));
    }
    let path = keys.map(|keys| named::keystore_path(keys.keystore.as_ref(), &profile.cluster.name));
    let decided = path.as_deref().and_then(pki::renewed_on_nodes);
    if decided == Some(false) {
        return Ok((profile, warnings));
    }
    let mut followed = source.clone();
    followed.settings.push(Setting::new("pki.renewal", "node"));
    match read(&followed) {
        Ok((mut profile, warnings)) => {
            if let Some(renewal) = &mut profile.pki.renewal {
                renewal.is_of_keystore = decided.is_some();
            }
            Ok((profile, warnings))
        }
        Err(mistakes) if decided.is_none() => {
            profile.pki.desk_because = mistakes.first().map(str::to_owned);
            Ok((profile, warnings))
        }
        Err(mistakes) => {
            let path = path.unwrap_or_default();
            out.warn(format_args!(
                "{}: nodes renew what {} has issued, so the profile is read with renewal = \"node\" in [pki]",
                source.path,
                path.display()
            ));
            Err(mistakes)
        }
    }
}
