//! Kiln's units, by systemctl.

use std::path::Path;
use std::time::Duration;

use kiln_wire::OwnUnit;

use crate::disk;
use crate::failure::{Failure, Result};
use crate::snapshot::command::run;

/// Where Kiln has its units.
pub const DIRECTORY: &str = "/etc/systemd/system/";
/// It is there while systemd is the machine's first process (sd_booted(3)).
const RUNS: &str = "/run/systemd/system";
const PLACES: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];
/// Longer than systemd waits for a unit that does not end (90 s).
const PATIENCE: Duration = Duration::from_secs(180);

/// The program, where systemd runs.
fn systemctl() -> Result<Option<&'static str>> {
    if !disk::is_there(Path::new(RUNS)) {
        return Ok(None);
    }
    let found = PLACES.into_iter().find(|place| disk::is_there(Path::new(place)));
    found.map(Some).ok_or_else(|| Failure::new(format!("systemd runs, and {} is not there", PLACES[0])))
}

/// Stops those that are there, and no boot starts them any more. Whether there is a systemd is returned.
///
/// # Errors
/// Where one does not end.
pub fn stop(units: &[OwnUnit]) -> Result<bool> {
    let Some(program) = systemctl()? else { return Ok(false) };
    let there = units.iter().map(OwnUnit::as_str);
    let there: Vec<_> = there.filter(|unit| disk::is_there(&Path::new(DIRECTORY).join(unit))).collect();
    // What starts others goes first: timers, and the unit that unpacks the seed.
    let starts = |unit: &&str| unit.ends_with(".timer") || unit.starts_with("kiln-seed");
    let (first, then): (Vec<_>, Vec<_>) = there.into_iter().partition(starts);
    for part in [first, then] {
        for verb in ["disable", "stop"] {
            if !part.is_empty() {
                run(program, &[&[verb, "--quiet", "--"], part.as_slice()].concat(), PATIENCE)?;
            }
        }
    }
    Ok(true)
}

/// systemd forgets units whose files are gone.
///
/// # Errors
/// Of systemctl.
pub fn reload() -> Result<()> {
    systemctl()?.map_or(Ok(()), |program| run(program, &["daemon-reload"], PATIENCE).map(drop))
}
