//! From a profile, a keystore, a release and overlays to a bundle: the recipe, without a command line and without a
//! terminal.

mod beside;
mod boot;
mod delivery;
mod describe;
mod ends;
mod inputs;
mod node_program;
mod note;
mod once;
mod parts;
mod prepare;
mod programs;
mod recipe;
mod session;
mod sink;
mod witness;

pub use beside::NodeProgram;
pub use boot::missing_named as missing_base;
pub use note::Note;
pub use prepare::{Prepared, check_peers, plan_of, warn_of_same_keystore};
pub use recipe::build;
pub use session::{Options, Overlays, Session, date_of_issue};
pub use sink::{Done, Sink};
pub use witness::witness;
