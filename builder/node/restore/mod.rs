//! `kiln-node restore`: this member becomes one of its cluster's next generation, out of a snapshot. `prepare` makes
//! its data beside the data that etcd uses, which serves on; `switch` exchanges them while etcd is stopped; `abandon`
//! removes what was prepared. No unit is started or stopped here, and no data is removed.

mod dir;
mod judge;
mod log;
mod place;
mod prepare;
mod record;
mod staged;
mod switch;

pub use place::RECORD;
pub use record::Record;

use std::path::{Path, PathBuf};

use kiln_wire::{Digest, Restore};

use crate::disk;
use crate::failure::{Failure, Result};
use crate::policy;
use crate::say::{Level, say};
use place::Place;

/// What is to be done.
pub enum Action {
    /// With this snapshot.
    Prepare(PathBuf),
    Switch,
    Abandon,
}

/// The orders, and the digest of their file.
pub struct Orders {
    policy: Restore,
    digest: Digest,
}

/// Reads the orders.
///
/// # Errors
/// Where they are not this program's user's alone, or no orders.
pub fn orders(path: &Path) -> Result<Orders> {
    let text = disk::read(path, false)?;
    Ok(Orders { policy: policy::parse(path, &text, Restore::check)?, digest: Digest::of(&text) })
}

/// Does it. Whether all is well is returned; what was done, or why not, has been said.
pub fn restore(orders: &Orders, action: &Action) -> bool {
    let node = &orders.policy.node;
    let done = Place::open(&orders.policy).and_then(|place| match action {
        Action::Prepare(snapshot) => prepare::prepare(&place, orders.digest, snapshot),
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
