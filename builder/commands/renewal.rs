//! Who renews certificates, where a profile does not say it: its keystore has decided.

use super::named;
use super::output::Output;
use crate::carrier;
use crate::cli;
use crate::etcd::Release;
use crate::pki;
use crate::profile::{self, Mistakes, Profile, Source, Warning};
use crate::values::{Arch, Setting};

/// Reads a profile. One that says nothing of renewals is read again as its keystore has decided, so that all checks are
/// those of a profile that says it; without a keystore the desk renews.
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
    let (profile, warnings) = read(source)?;
    let Some(keys) = keys.filter(|_| !profile.pki.says_who_renews) else { return Ok((profile, warnings)) };
    let keystore = named::keystore_path(keys.keystore.as_ref(), &profile.cluster.name);
    if pki::renewed_on_nodes(&keystore) != Some(true) {
        return Ok((profile, warnings));
    }
    let mut followed = source.clone();
    followed.settings.push(Setting::new("pki.renewal", "node"));
    let (mut profile, warnings) = read(&followed).inspect_err(|_| {
        out.warn(format_args!(
            "{}: nodes renew what {} has issued, so the profile is read with renewal = \"node\" in [pki]",
            source.path,
            keystore.display()
        ));
    })?;
    if let Some(renewal) = &mut profile.pki.renewal {
        renewal.is_of_keystore = true;
    }
    Ok((profile, warnings))
}
