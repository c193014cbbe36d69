//! Programs that run machines: QEMU by itself, libvirt.

use std::collections::BTreeSet;

use super::accel::Accel;
use super::record::MachinesRecord;
use super::state::State;
use crate::base::System;
use crate::bundle::{Bundle, Manifest, manifest};
use crate::failure::Result;
use crate::values::NodeName;

/// A way to run the machines of one bundle. Everything it makes is named by the cluster's ID (`names::Names`), so that
/// two clusters share nothing, and is recorded in the state before it is made; what cannot be recorded is removed
/// again.
pub trait Driver: Sync {
    /// Its name for `--driver` and in the record of the machines.
    fn name(&self) -> &'static str;

    /// A noun phrase for the help.
    fn about(&self) -> &'static str;

    /// Whether it has an address to connect to (`--connect`).
    fn has_address(&self) -> bool {
        false
    }

    /// Called before anything is made: whether it can run machines as they are wanted, and everything that it needs
    /// answers.
    ///
    /// # Errors
    /// `Exit::Usage` for what it cannot do; `Exit::Io` when something does not answer.
    fn check(&self, wanted: &MachinesRecord, manifest: &Manifest) -> Result<()>;

    /// How the CPUs are run, never `Auto`, and if it is not by KVM though that was allowed, a clause that says why.
    ///
    /// # Errors
    /// `Exit::Io` when KVM was requested and does not work.
    fn accel(
        &self,
        accel: Accel,
        wanted: &MachinesRecord,
        manifest: &Manifest,
    ) -> Result<(Accel, Option<String>)>;

    /// Makes missing things that all machines of the bundle need: network, storage.
    ///
    /// # Errors
    /// `Exit::Unsafe` when something of another owner has the same name.
    fn create(&self, state: &mut State, bundle: &Bundle) -> Result<()>;

    /// Writes the files that several machines read, where none of those in `running` reads them.
    ///
    /// # Errors
    /// `Exit::Io`.
    fn share(
        &self,
        _state: &State,
        _bundle: &Bundle,
        _system: &System,
        _running: &[&NodeName],
    ) -> Result<()> {
        Ok(())
    }

    /// Makes the missing parts of a node's machine and starts it. Existing disks are kept: they may be the only copy
    /// of some data. Several are started in parallel.
    ///
    /// # Errors
    /// `Exit::Io`.
    fn start(&self, state: &State, bundle: &Bundle, system: &System, node: &manifest::Node) -> Result<()>;

    /// Those of some nodes whose machines run.
    ///
    /// # Errors
    /// `Exit::Io` when that cannot be determined.
    fn running(&self, state: &State, nodes: &[&NodeName]) -> Result<BTreeSet<NodeName>>;

    /// Brings new output of a machine's console into its file on this machine, where it does not get there by itself.
    ///
    /// # Errors
    /// `Exit::Io` when the file cannot be written; a console that cannot be reached is not an error.
    fn hear(&self, _state: &State, _node: &NodeName) -> Result<()> {
        Ok(())
    }

    /// Removes the disk that a member was restored from, which has served since. Its machine may run: the guest has the
    /// disk until it is started anew.
    ///
    /// # Errors
    /// `Exit::Io`.
    fn remove_restore_disk(&self, state: &State, node: &NodeName) -> Result<()>;

    /// Stops all machines, as a power failure would, and removes what `create` has made; disks that the driver stores
    /// itself only with `purge`.
    ///
    /// # Errors
    /// `Exit::Io` when something could not be removed.
    fn destroy(&self, state: &State, bundle: &Bundle, purge: bool) -> Result<Left>;
}

/// What is left after `destroy`.
pub struct Left {
    /// Whether something that `create` has made still exists.
    pub laid: bool,
    /// The bridge, if other machines use it.
    pub bridge: Option<String>,
}
