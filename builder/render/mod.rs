//! (Plan, keys, overlays) -> Tree: what one node will see.

mod config;
mod embedded;
mod lay;
mod logs;
mod overlay;
mod programs;
mod renderer;
mod scan;
mod systemd;
mod template;
mod unfit;
mod variables;

pub use embedded::{EMBEDDED, Embedded, embedded};
pub use lay::{Laid, Replaced};
pub use overlay::{Overlay, Room, load};
pub use programs::{Program, insert_programs, programs_tree};
pub use renderer::{NodeKeys, Renderer};
pub use template::{Context, Template, Templates, context};
pub use variables::{VARIABLES, markdown as variables};

/// What an operator's shell takes etcdctl's endpoints and certificates from, in a bundle's `client/`.
pub const CLIENT_SCRIPT: &str = include_str!("../../overlays/client/etcdctl.sh");
