//! The prepared copy: root's, with a marker, beside the data and beside the log. It counts once it is complete in both,
//! and stops to count before anything of it is removed.

use kiln_wire::Digest;

use super::dir::Dir;
use super::place::{MARKER, PREPARED, PREPARING, Place};
use crate::disk::own;
use crate::failure::{Failure, Result};
use crate::steps::reached;

/// Whether it was made for orders of this digest, and is complete.
///
/// # Errors
/// Where something else has its name.
pub fn is_prepared(place: &Place<'_>, orders: Digest) -> Result<bool> {
    for side in &place.sides {
        let Some(top) = top(&side.dir, PREPARED)? else { return Ok(false) };
        let marker = top.text(MARKER, own())?;
        if marker != Some(text(orders)) || side.staged(PREPARED)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes what will be renamed to it.
///
/// # Errors
/// Of the system.
pub fn make(place: &Place<'_>) -> Result<Vec<Dir>> {
    place.sides.iter().map(|side| side.dir.make(PREPARING)).collect()
}

/// Marks it, and gives it its name; that beside the data is the last.
///
/// # Errors
/// Of the system.
pub fn finish(place: &Place<'_>, tops: &[Dir], orders: Digest) -> Result<()> {
    for top in tops {
        top.write(MARKER, &text(orders), 0o600, None)?;
        top.sync()?;
    }
    reached("marked");
    for side in place.sides.iter().rev() {
        side.dir.rename(PREPARING, &side.dir, PREPARED)?;
        match side.is_log {
            true => reached("log-prepared"),
            false => reached("prepared"),
        }
    }
    Ok(())
}

/// Removes it, and what a killed run has left of it. Whether there was anything.
///
/// # Errors
/// Where it is not this program's.
pub fn clear(place: &Place<'_>) -> Result<bool> {
    let mut found = Vec::new();
    for side in &place.sides {
        for name in [PREPARING, PREPARED] {
            found.extend(top(&side.dir, name)?.map(|_| (side, name)));
        }
    }
    for (side, name) in &found {
        if *name == PREPARED {
            side.dir.rename(PREPARED, &side.dir, PREPARING)?;
            reached("unnamed");
        }
        side.dir.remove(PREPARING)?;
        reached("removed");
    }
    Ok(!found.is_empty())
}

/// The directory of this name, which only this program makes.
fn top(dir: &Dir, name: &str) -> Result<Option<Dir>> {
    let Some(top) = dir.sub(name)? else { return Ok(None) };
    let found = top.stat()?;
    match found.st_uid == own() && found.st_mode & 0o077 == 0 {
        true => Ok(Some(top)),
        false => Err(Failure::new(format!(
            "{} was not made by this program; inspect it, and move it elsewhere",
            top.path().display()
        ))),
    }
}

fn text(orders: Digest) -> String {
    format!("{orders}\n")
}
