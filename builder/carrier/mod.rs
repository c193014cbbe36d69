//! The ways in which machines get their files: a row of the table and a source file for each.

mod cloud_init;
mod ignition;
mod initramfs;
pub(crate) mod ipxe;
pub mod libvirt;
mod make;
mod network_manager;
mod parse;
mod row;
mod scripts;
mod seed;
mod tarball;

pub(crate) use make::{boot_files, layers, node_files};
pub use parse::all;
#[cfg(test)]
pub(crate) use parse::named;
pub(crate) use parse::{of_machine, of_machines, of_machines_by_default, set};
pub(crate) use row::{Files, Layer, NodeParts, Packer, Row};
pub(crate) use scripts::SeedTemplates;

/// All carriers, in the order in which manifests list them.
pub static TABLE: [Row; 4] = [tarball::ROW, initramfs::ROW, cloud_init::ROW, ignition::ROW];
