//! Whether there is a snapshot that is recent and can be believed.

use kiln_wire::AHEAD;

use super::listing::{all, of_bundle};
use super::place::Place;
use crate::bundle::Manifest;
use crate::causes::Fault;
use crate::failure::Result;
use crate::report::Check;
use crate::values::Epoch;

const CHECK: &str = "newest snapshot";

/// A run may begin late, and takes a while, in seconds.
const SLACK: u64 = 600;

/// The row of a report; those of nodes that have not been uploaded are not looked for.
///
/// # Errors
/// Those of reading the place, and `Exit::Usage` where nodes take none.
pub fn check(place: &Place, manifest: &Manifest, now: Epoch) -> Result<Check> {
    let interval = of_bundle(manifest)?.interval.seconds();
    let found = all(place, manifest)?;
    let unsound = found.iter().filter(|one| one.record().is_none()).count();
    let but = if unsound == 0 { String::new() } else { format!("; {unsound} are not believed") };
    let is_past = |taken: u64| taken <= now.seconds().saturating_add(AHEAD);
    let sound = found.iter().filter_map(|one| Some((one, one.record()?)));
    let Some((newest, record)) = sound.into_iter().find(|(_, record)| is_past(record.taken)) else {
        let detail = format!("{} has none that is sound{but}", place.shown());
        return Ok(Check::failed(CHECK, None, Fault::OldSnapshot, detail));
    };
    let age = now.seconds().saturating_sub(record.taken);
    let detail = format!("{}, {} minutes old, revision {}{but}", newest.name, age / 60, record.revision);
    Ok(match age <= 2 * interval + SLACK {
        true => Check::ok(CHECK, None, detail),
        false => Check::failed(CHECK, None, Fault::OldSnapshot, detail),
    })
}
