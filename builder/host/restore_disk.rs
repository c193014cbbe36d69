//! What a machine's member is restored from, as a disk that it has until its member has served.

use std::io;
use std::path::PathBuf;

use kiln_wire::ATTACHED_ORDERS;

use super::driver::Driver;
use super::state::State;
use super::status::is_asked;
use crate::bundle::{Bundle, Kit};
use crate::digest::each_piece_of;
use crate::disk::{self, Input};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::values::{Mode, NodeName};

/// In the directory of the node's machine.
pub fn file(state: &State, node: &NodeName) -> PathBuf {
    state.node(node).join("restore.img")
}

/// Whether each of the nodes that are to start has data, or is given some: in a restored cluster none begins with an
/// empty disk. `only`: as `up` has it.
///
/// # Errors
/// `Exit::Usage` where there is no kit for one that needs it.
pub fn check(state: &State, bundle: &Bundle, kit: Option<&Kit>, only: &[NodeName]) -> Result<()> {
    let cluster = &bundle.manifest.cluster;
    if cluster.restored.is_none() || kit.is_some() {
        return Ok(());
    }
    let mut asked = bundle.manifest.nodes.iter().map(|node| &node.name).filter(|node| is_asked(only, node));
    match asked.find(|node| !state.has_formed(node) && !state.has_restore_disk(node)) {
        None => Ok(()),
        Some(node) => Err(Failure::new(
            Exit::Usage,
            format!(
                "{0} is generation {1} of {2}, which begins with a snapshot, and the new VM of {node} has none; name the \
                 directory that kiln restore has made: kiln up {0} --restore DIR",
                bundle.path.display(),
                cluster.generation(),
                cluster.name
            ),
        )),
    }
}

/// Makes those of the nodes that are about to start and have not served; these are returned.
///
/// # Errors
/// `Exit::Io`.
pub fn make_all<'n>(
    state: &State,
    kit: Option<&Kit>,
    nodes: impl Iterator<Item = &'n NodeName>,
) -> Result<Vec<&'n NodeName>> {
    let Some(kit) = kit else { return Ok(Vec::new()) };
    let new: Vec<_> = nodes.filter(|node| !state.has_formed(node)).collect();
    new.iter().try_for_each(|node| make(state, kit, node))?;
    Ok(new)
}

/// The orders with zeros behind them, the snapshot, and zeros to the end of a sector.
fn make(state: &State, kit: &Kit, node: &NodeName) -> Result<()> {
    const SECTOR: u64 = 512;
    let Some(own) = kit.node(node) else { return Ok(()) };
    let path = file(state, node);
    let writing = || format!("writing {}", path.display());
    disk::make_directories(&state.node(node), Mode::SECRET_DIRECTORY)?;
    remove(state, node)?;
    disk::stream_new(&path, Mode::SECRET, |disk| {
        let mut begin = own.orders.clone();
        begin.resize(ATTACHED_ORDERS, 0);
        disk.write_all(&begin).doing(writing)?;
        let mut snapshot = Input::open(&own.snapshot)?;
        let size = snapshot.size();
        each_piece_of(&mut snapshot, |bytes| disk.write_all(bytes).doing(writing))?;
        let rest = size.next_multiple_of(SECTOR) - size;
        io::copy(&mut io::Read::take(io::repeat(0), rest), disk).doing(writing).map(drop)
    })
}

/// Removes those of members that have served: they have the cluster's data. Why one is still there is returned.
pub fn forget(driver: &dyn Driver, state: &mut State, served: &[&NodeName]) -> Vec<String> {
    let mut left = Vec::new();
    for node in served {
        if !state.has_restore_disk(node) {
            continue;
        }
        let gone = driver.remove_restore_disk(state, node).and_then(|()| state.note_restore_disk_gone(node));
        left.extend(gone.err().map(|why| {
            format!("the disk that {node} was restored from is still there, with the cluster's data: {why}")
        }));
    }
    left
}

/// Removes it: a member that has served goes on with its own data.
///
/// # Errors
/// `Exit::Io`.
pub fn remove(state: &State, node: &NodeName) -> Result<()> {
    let path = file(state, node);
    match disk::look(&path)? {
        Some(_) => disk::remove_file(&path),
        None => Ok(()),
    }
}
