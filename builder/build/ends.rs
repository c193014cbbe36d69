//! Whether the certificates of a bundle still help a cluster whose nodes renew: the desk's are used until the node's
//! first renewal, and again by a node that comes back without its own.

use super::note::Note;
use super::prepare::Prepared;
use super::session::Session;
use crate::bundle::Manifest;
use crate::bundle::manifest::Certificate;
use crate::clock;
use crate::failure::{Failure, Result};
use crate::values::{Epoch, SOON_DAYS};

/// # Errors
/// `Exit::Unsafe` where one of them has ended.
pub fn check(prepared: &Prepared, manifest: &Manifest, session: &Session<'_>) -> Result<()> {
    if prepared.plan.pki.renewal.is_none() {
        return Ok(());
    }
    let now = clock::now();
    // Those of the CAs are the first.
    let Some(first) =
        manifest.certificates.iter().filter(|one| !is_authority(one)).min_by_key(|one| one.not_after)
    else {
        return Ok(());
    };
    let way_out = format!(
        "run kiln keystore renew {} --keystore {}, and build again",
        prepared.plan.cluster.name,
        prepared.keystore_path.display()
    );
    let of = first.node.as_ref().map(|node| format!(" of {node}")).unwrap_or_default();
    if first.not_after < now {
        return Err(Failure::unsafe_to(format!(
            "{}{of} ended on {}, and a node that starts with it does not serve before it has renewed; {way_out}",
            first.file, first.not_after
        )));
    }
    // Later on the warning is that of every build.
    let is_soon = now.days_until(first.not_after).is_none_or(|days| days < SOON_DAYS);
    if !is_soon && now > two_thirds(first) {
        (session.tell)(Note::warning(format_args!(
            "two thirds of the life of {}{of} are over; {way_out}",
            first.file
        )));
    }
    Ok(())
}

fn is_authority(certificate: &Certificate) -> bool {
    certificate.node.is_none()
        && certificate.sans.is_empty()
        && certificate.file.file_name().ends_with("ca.pem")
}

fn two_thirds(of: &Certificate) -> Epoch {
    let life = of.not_after.seconds().saturating_sub(of.not_before.seconds());
    Epoch::from_seconds(of.not_before.seconds() + life / 3 * 2).unwrap_or(of.not_after)
}
