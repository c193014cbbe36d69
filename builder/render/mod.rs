//! (Plan, keys, overlays) -> Tree: the files of one node.

mod backup;
mod backup_files;
mod budget;
mod client;
mod config;
mod depends;
mod embedded;
mod files;
mod lay;
mod logs;
mod overlay;
mod owners;
mod programs;
mod renderer;
mod renewal;
mod restore;
mod scan;
mod systemd;
mod template;
mod told;
mod unfit;
mod values;
mod variables;
mod wipe;

pub(crate) use backup::{bucket, signer};
pub(crate) use backup_files::of_backup as files_of_backup;
pub(crate) use budget::Budget;
pub(crate) use client::CLIENT_FILES;
pub use embedded::{EMBEDDED, embedded};
pub(crate) use files::of_profile as files_of_profile;
pub(crate) use lay::{Laid, Replaced};
pub use overlay::Overlay;
pub(crate) use overlay::load;
pub(crate) use programs::{NamedProgram, insert_programs, programs_tree};
pub(crate) use renderer::CERTIFICATES;
pub use renderer::{NodeKeys, Renderer};
pub use restore::{RestoredWith, bump, restore_orders, restore_script};
pub use template::Templates;
pub(crate) use template::{Context, Template, context};
pub use variables::markdown as variables;

/// The script in a bundle's `client/` that sets etcdctl's endpoints and certificates in an operator's shell.
pub const CLIENT_SCRIPT: &str = include_str!("../../overlays/client/etcdctl.sh");
