//! Whether the certificates of a bundle still help a cluster whose nodes renew: the desk's are used until the node's
//! first renewal, and again by a node that comes back without its own.

use kiln_wire::Validity;

use super::note::Note;
use super::prepare::Prepared;
use super::session::Session;
use crate::bundle::manifest::Certificate;
use crate::bundle::{Manifest, client_file};
use crate::clock;
use crate::failure::{Failure, Result};
use crate::values::SOON_DAYS;

/// # Errors
/// `Exit::Unsafe` where one of them has ended.
pub fn check(prepared: &Prepared, manifest: &Manifest, session: &Session<'_>) -> Result<()> {
    if prepared.plan.pki.renewal.is_none() {
        return Ok(());
    }
    let now = clock::now();
    let of_cas: Vec<_> = prepared.plan.authorities.iter().map(|ca| client_file(&ca.client_file())).collect();
    let is_ca = |one: &Certificate| one.node.is_none() && of_cas.iter().any(|file| file == one.file.as_str());
    let leaves = manifest.certificates.iter().filter(|one| !is_ca(one));
    let Some(first) = leaves.min_by_key(|one| one.not_after) else { return Ok(()) };
    let way_out = format!(
        "run kiln keystore renew {} --keystore {}, and build again",
        prepared.plan.cluster.name,
        prepared.keystore_path.display()
    );
    let of = first.node.as_ref().map(|node| format!(" of {node}")).unwrap_or_default();
    if first.not_after < now {
        return Err(Failure::unsafe_to(format!(
            "{}{of} ended on {}: a node or a client would begin with a certificate that is refused; {way_out}",
            first.file, first.not_after
        )));
    }
    // Later on the warning is that of every build.
    let is_soon = now.days_until(first.not_after).is_none_or(|days| days < SOON_DAYS);
    let validity = Validity { from: first.not_before.seconds(), until: first.not_after.seconds() };
    if !is_soon && now.seconds() >= validity.due() {
        (session.tell)(Note::warning(format_args!(
            "two thirds of the life of {}{of} are over; {way_out}",
            first.file
        )));
    }
    Ok(())
}
