//! What runs machines: QEMU by itself, libvirt.

use super::state::State;
use crate::base::System;
use crate::bundle::{Bundle, manifest};
use crate::failure::Result;
use crate::values::NodeName;

/// A way to run the machines of one bundle. What it makes is named by the cluster's ID (`record::Names`), so that two clusters
/// share nothing, and is remembered in the state before it is there.
pub trait Driver: Sync {
    /// As `--driver` and the record of the machines write it.
    fn name(&self) -> &'static str;

    /// What it is, for help: a noun phrase.
    fn about(&self) -> &'static str;

    /// Whether it is reached by an address (`--connect`).
    fn has_address(&self) -> bool {
        false
    }

    /// Makes what all machines of the bundle need and is not there: network, storage.
    ///
    /// # Errors
    /// `Exit::Unsafe` when somebody else's is in the way.
    fn create(&self, state: &mut State, bundle: &Bundle) -> Result<()>;

    /// Puts down what all machines read. Called while none of them runs.
    ///
    /// # Errors
    /// `Exit::Io`.
    fn share(&self, _state: &State, _bundle: &Bundle, _system: &System) -> Result<()> {
        Ok(())
    }

    /// Gives a node's machine what it needs and starts it. Disks that are there are kept: they may be the only copy of
    /// something. Several are started side by side.
    ///
    /// # Errors
    /// `Exit::Io`.
    fn start(&self, state: &State, bundle: &Bundle, system: &System, node: &manifest::Node) -> Result<()>;

    /// Whether a node's machine runs.
    ///
    /// # Errors
    /// `Exit::Io` when it cannot be asked.
    fn runs(&self, state: &State, node: &NodeName) -> Result<bool>;

    /// Ends all machines, as a power cut would, and removes what `create` has made; disks that the driver keeps itself only
    /// with `purge`.
    ///
    /// # Errors
    /// `Exit::Io` when something of it is left.
    fn destroy(&self, state: &State, bundle: &Bundle, purge: bool) -> Result<Left>;
}

/// What `destroy` has left.
pub struct Left {
    /// Whether something that `create` has made is still there.
    pub laid: bool,
    /// The bridge, where other machines use it.
    pub bridge: Option<String>,
}
