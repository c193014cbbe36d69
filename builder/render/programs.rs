//! etcd's programs and Kiln's own in a node's files, or in a layer of their own.

use std::sync::Arc;

use crate::failure::{Failure, Result};
use crate::tree::{Blob, Entry, Tree};
use crate::values::{GuestPath, Mode, NODE_PROGRAM};

/// A program and its bytes.
pub type NamedProgram = (String, Arc<Blob>);

/// The programs as a tree of their own: the layer that is the same for every host.
pub fn programs_tree(programs: &[NamedProgram], bin_dir: &GuestPath) -> Result<Tree> {
    let mut tree = Tree::default();
    insert_programs(&mut tree, programs, bin_dir)?;
    Ok(tree)
}

/// Puts the programs into a node's own files.
pub fn insert_programs(tree: &mut Tree, programs: &[NamedProgram], bin_dir: &GuestPath) -> Result<()> {
    for (name, blob) in programs {
        let origin = if name == NODE_PROGRAM { NODE_PROGRAM } else { "the etcd release" };
        let entry = Entry::shared(blob.clone(), Mode::PROGRAM, origin);
        tree.insert(path(&format!("{bin_dir}/{name}"))?, entry)?;
    }
    Ok(())
}

/// A path that Kiln itself has composed.
pub(super) fn path(text: &str) -> Result<GuestPath> {
    text.parse().map_err(|error| Failure::io(format!("{text} as a path in the guest: {error}")))
}
