//! `kiln-node restore`: this member becomes one of its cluster's next generation, out of a snapshot. `prepare` makes
//! its data beside the data that etcd uses, which serves on; `switch` exchanges them while etcd is stopped; `abandon`
//! removes what was prepared. `attached` does both at the first boot of a machine whose host has attached the snapshot
//! as a disk. No unit is started or stopped here, and no data is removed.

mod attached;
mod dir;
mod judge;
mod log;
mod orders;
mod place;
mod prepare;
mod record;
mod staged;
mod switch;

pub use orders::Orders;
pub use place::RECORD;
pub use record::Record;

use std::path::{Path, PathBuf};

use kiln_wire::{Id, LogIds};

use crate::failure::{Failure, Result};
use crate::say::{Level, say};
use attached::Attached;
use judge::State;
use place::Place;
use prepare::Snapshot;

/// What is to be done.
pub enum Action {
    /// With this snapshot.
    Prepare(PathBuf),
    Switch,
    Abandon,
}

/// Does it. Whether all is well is returned; what was done, or why not, has been said.
pub fn restore(orders: &Orders, action: &Action) -> bool {
    let node = &orders.policy.node;
    let done = Place::open(&orders.policy).and_then(|place| match action {
        Action::Prepare(snapshot) => prepare::prepare(&place, orders.digest, &Snapshot::At(snapshot)),
        Action::Switch => switch::switch(&place, orders.digest),
        Action::Abandon => abandon(&place),
    });
    match &done {
        Ok(text) => say(Level::Info, node, text),
        Err(why) => {
            let verb = match action {
                Action::Prepare(_) => "has prepared no restore",
                Action::Switch => "is not switched",
                Action::Abandon => "has abandoned nothing",
            };
            say(Level::Error, node, &format!("{verb}: {why}"));
        }
    }
    done.is_ok()
}

/// Restores this node's member from a disk, before etcd is started for the first time; nothing where there is no such
/// disk, or it was done. Whether all is well is returned.
///
/// # Errors
/// Where the disk has no orders for this member.
pub fn attached(disk: &Path, member: Id) -> Result<bool> {
    let Some(disk) = Attached::open(disk)? else { return Ok(true) };
    let orders = disk.orders()?;
    let node = &orders.policy.node;
    match from_disk(&orders, &disk, member) {
        Ok(None) => Ok(true),
        Ok(Some(text)) => {
            say(Level::Info, node, &text);
            Ok(true)
        }
        Err(why) => {
            say(Level::Error, node, &format!("does not start etcd: it is not restored: {why}"));
            Ok(false)
        }
    }
}

/// What was done, if anything was to be done.
fn from_disk(orders: &Orders, disk: &Attached, member: Id) -> Result<Option<String>> {
    let policy = &orders.policy;
    let place = Place::open(policy)?;
    // The disk of an earlier restore stays until the machine is started anew.
    let has_own = |logs: &[LogIds]| !logs.is_empty() && logs.iter().all(|log| log.member == member);
    if place.journal()?.is_none() && has_own(&place.logs()?) {
        return Ok(None);
    }
    if policy.member_id != member {
        return Err(Failure::new(format!(
            "the snapshot that is attached is for the member {:x}, and this node is {member:x}; attach its own",
            policy.member_id
        )));
    }
    match judge::judge(&place)? {
        State::Switched => return Ok(None),
        State::Switching(_) => {}
        // A member that forgets what it has promised to the others can make them lose what they have stored.
        State::Before(_) if judge::has_served(policy) => {
            return Err(Failure::new(format!(
                "it has served generation {} of {} before, and its data is gone; a member does not begin again with \
                 what it was. Replace it (README: A first boot happens once)",
                policy.generation, policy.cluster
            )));
        }
        State::Before(_) => {
            let done = prepare::prepare(&place, orders.digest, &Snapshot::Attached(disk))?;
            say(Level::Info, &policy.node, &done);
        }
    }
    switch::switch(&place, orders.digest).map(Some)
}

/// Whatever the data is: only the copy goes.
fn abandon(place: &Place<'_>) -> Result<String> {
    if place.journal()?.is_some() {
        return Err(Failure::new(
            "the switch has begun and only goes forward; end it: kiln-node restore switch",
        ));
    }
    Ok(match staged::clear(place)? {
        true => "has removed the prepared copy; etcd's data is unchanged",
        false => "has nothing to abandon: nothing is prepared",
    }
    .to_owned())
}
