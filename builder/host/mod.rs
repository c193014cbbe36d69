//! Virtual machines on this host, one for each node of a bundle: started by QEMU or libvirt, watched, stopped,
//! removed.

mod accel;
mod cards;
mod display;
mod driver;
mod drivers;
mod emulator;
mod follow;
mod host_path;
mod initrd;
mod libvirt;
mod machines;
mod memory;
mod names;
mod origin;
mod places;
mod plain;
mod progress;
mod qemu;
mod record;
mod restore_disk;
mod state;
mod status;
mod undo;

pub(crate) use accel::Accel;
pub(crate) use cards::Linked;
pub(crate) use drivers::{parser as drivers, usual as usual_driver};
pub(crate) use follow::LEFT_RUNNING;
pub(crate) use machines::{UpRequest, down, hear, runs, status, up};
pub(crate) use places::places;
pub(crate) use plain::Plain;
pub(crate) use progress::Phase;
pub(crate) use record::{DriverName, MachinesRecord};
pub use state::State;
pub(crate) use status::{ClusterStatus, NodeStatus};
