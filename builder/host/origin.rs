//! What machines are started from, and whether it is the same as the last time.

use super::display::Display;
use super::state::State;
use crate::base::System;
use crate::bundle::{Bundle, MANIFEST, MAX_MANIFEST_BYTES};
use crate::disk;
use crate::failure::{Failure, Result};
use crate::values::Digest;

/// What machines are now started from.
pub struct Origin {
    pub bundle: Digest,
    pub system: Digest,
}

impl Origin {
    pub fn of(bundle: &Bundle, system: &System) -> Result<Self> {
        let manifest = disk::read(&bundle.path.join(MANIFEST), MAX_MANIFEST_BYTES)?;
        Ok(Self { bundle: Digest::of(&manifest), system: system.identity()? })
    }

    /// Reports what has changed since the machines were last started.
    ///
    /// # Errors
    /// `Exit::Unsafe` when some machines run on another base system than the one from which others are to be started.
    pub fn compare(
        &self,
        state: &State,
        bundle: &Bundle,
        system: &System,
        running: &[bool],
        absent: &[usize],
        display: &Display,
    ) -> Result<()> {
        let nodes = &bundle.manifest.nodes;
        let started = |at: usize| state.record.nodes.get(&nodes[at].name);
        let names = |all: Vec<usize>| {
            all.into_iter().map(|at| nodes[at].name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let other_bundle =
            |at: &usize| started(*at).and_then(|one| one.bundle).is_some_and(|one| one != self.bundle);
        let other_system =
            |at: &usize| started(*at).and_then(|one| one.system).is_some_and(|one| one != self.system);
        let run = || (0..nodes.len()).filter(|at| running[*at]);
        let path = bundle.path.display();

        let on_another: Vec<_> = run().filter(other_system).collect();
        if !on_another.is_empty() && !absent.is_empty() {
            return Err(Failure::unsafe_to(format!(
                "the base system has changed since {} was started, and all VMs of a cluster must use the same one; stop \
                 them with kiln down {path}, which keeps their disks, and start all with kiln up",
                names(on_another)
            )));
        }
        let old: Vec<_> = run().filter(other_bundle).collect();
        if !old.is_empty() {
            display.warn(format_args!(
                "the bundle has changed since {} was started, and a running VM keeps its old files; run kiln down {path} \
                 and kiln up {path} to start all VMs from the new one",
                names(old)
            ));
        }
        let old: Vec<_> = absent.iter().copied().filter(other_bundle).collect();
        if !old.is_empty() {
            display.warn(format_args!(
                "the bundle has changed since {} was last started; the disks keep etcd's data",
                names(old)
            ));
        }
        let old: Vec<_> = absent.iter().copied().filter(other_system).collect();
        if !old.is_empty() && system.image().is_some() {
            display.warn(format_args!(
                "the base system has changed since {} was last started; existing system disks are not changed",
                names(old)
            ));
        }
        Ok(())
    }
}
