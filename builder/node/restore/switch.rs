//! `switch`: what was prepared becomes the data, and the data before is kept. With the journal written, a killed run is
//! only ever gone on with: the guard starts no etcd meanwhile.

use kiln_wire::{Digest, LogIds};

use super::dir::Dir;
use super::judge::{State, judge, wanted};
use super::place::{JOURNAL, PREPARED, Place, RECORD, Side};
use super::record::{Journal, Record};
use super::staged;
use crate::disk::own;
use crate::failure::{Failure, Result};
use crate::steps::reached;

/// What was done is returned, as said after the node's name.
///
/// # Errors
/// Why not.
pub fn switch(place: &Place<'_>, orders: Digest) -> Result<String> {
    let policy = place.policy;
    let generation = policy.generation;
    let (before, _database) = match judge(place)? {
        State::Switched => return Ok(format!("is switched to generation {generation} already")),
        State::Switching(before) => (before, place.unused()?),
        State::Before(before) => (before, begin(place, orders, before)?),
    };
    reached("journaled");
    for side in &place.sides {
        replace(place, side, before)?;
    }
    let is_new = |log: &LogIds| log.cluster == policy.cluster_id;
    if !place.logs()?.iter().all(is_new) || !has_all(place)? {
        return Err(Failure::new(format!(
            "{} does not have what was prepared, of which something has gone elsewhere since the switch began; etcd is not \
             started ({JOURNAL}) until it is back",
            policy.data
        )));
    }
    record(place)?;
    reached("recorded");
    staged::clear(place)?;
    place.data().remove_file(JOURNAL)?;
    reached("switched");
    let mut all = Vec::new();
    for side in &place.sides {
        all.extend(kept(side, before)?.map(|kept| kept.path().display().to_string()));
    }
    let of = match all.is_empty() {
        true => "there was no data before".to_owned(),
        false => format!("the data before is kept in {}", all.join(" and ")),
    };
    Ok(format!("is switched to generation {generation} of {}; {of}", policy.cluster))
}

/// Whether each directory of etcd's is there, and a log in its place.
fn has_all(place: &Place<'_>) -> Result<bool> {
    for side in &place.sides {
        if side.dir.find(&side.live)?.is_none() {
            return Ok(false);
        }
    }
    Ok(!place.logs()?.is_empty())
}

/// The directory of what is kept, if that has something of this side.
fn kept(side: &Side, generation: u32) -> Result<Option<Dir>> {
    let Some(kept) = side.dir.sub(&kept_as(generation))? else { return Ok(None) };
    Ok(kept.find(&side.live)?.is_some().then_some(kept))
}

/// Everything that can be known before is looked at; then the journal is written.
fn begin(place: &Place<'_>, orders: Digest, before: u32) -> Result<Option<std::fs::File>> {
    if !staged::is_prepared(place, orders)? {
        return Err(Failure::new(
            "is not prepared with these orders: kiln-node restore prepare comes first; nothing was changed",
        ));
    }
    place.can_rename()?;
    for side in &place.sides {
        if let Some(kept) = kept(side, before)? {
            return Err(Failure::new(format!(
                "{} is kept from a restore before; move it elsewhere first, nothing was changed",
                kept.at(&side.live).display()
            )));
        }
    }
    let database = place.unused()?;
    let journal = Journal { restored: wanted(place.policy), before };
    let new = format!("{JOURNAL}.new");
    place.data().remove_file(&new)?;
    place.data().write(&new, &journal.to_string(), 0o644, None)?;
    place.data().rename(&new, place.data(), JOURNAL)?;
    Ok(database)
}

fn kept_as(generation: u32) -> String {
    format!("kiln-before-g{generation}")
}

/// Where the data before is kept.
fn keeping(place: &Place<'_>, dir: &Dir, generation: u32) -> Result<Dir> {
    let name = kept_as(generation);
    let kept = match dir.sub(&name)? {
        Some(kept) => kept,
        None => dir.make(&name)?,
    };
    if ![own(), place.owner.uid].contains(&kept.stat()?.st_uid) {
        return Err(Failure::new(format!("{} belongs to another account", kept.path().display())));
    }
    kept.give_alone(place.owner)?;
    dir.sync()?;
    Ok(kept)
}

/// Each step is done, or has been done by a run that was killed.
fn replace(place: &Place<'_>, side: &Side, before: u32) -> Result<()> {
    let Some(parent) = side.made_in(PREPARED)? else { return Ok(()) };
    if parent.find(side.made())?.is_none() {
        return Ok(());
    }
    // An empty one, as systemd-tmpfiles may make it, is not worth keeping.
    if side.dir.find(&side.live)?.is_some() && !side.dir.remove_empty(&side.live)? {
        let kept = keeping(place, &side.dir, before)?;
        if kept.find(&side.live)?.is_some() {
            return Err(Failure::new(format!(
                "{} was kept, and yet there is another one in {}: it was made since the switch began; move that one \
                 elsewhere, and run this again",
                kept.at(&side.live).display(),
                side.dir.path().display()
            )));
        }
        side.dir.rename(&side.live, &kept, &side.live)?;
    }
    match side.is_log {
        true => reached("log-kept"),
        false => reached("data-kept"),
    }
    parent.rename(side.made(), &side.dir, &side.live)?;
    match side.is_log {
        true => reached("log-replaced"),
        false => reached("data-replaced"),
    }
    Ok(())
}

fn record(place: &Place<'_>) -> Result<()> {
    let (data, new) = (place.data(), format!("{RECORD}.new"));
    let record = Record { cluster: place.policy.cluster_id, restored: Some(wanted(place.policy)) };
    // The account may have left one; it writes this file, too.
    data.remove_file(&new)?;
    data.write(&new, &record.to_string(), 0o600, Some(place.owner))?;
    data.rename(&new, data, RECORD)
}
