//! Virtual machines on this host, one for each node of a bundle: started by QEMU or libvirt, watched, stopped, forgotten.

mod accel;
mod driver;
mod drivers;
mod emulator;
mod follow;
mod initrd;
mod libvirt;
mod machines;
mod plain;
mod qemu;
mod record;
mod state;

pub use accel::Accel;
pub use drivers::{parser as drivers, usual as usual_driver};
pub use follow::Phase;
pub use machines::{Gone, Node, Order, Standing, down, runs, status, up};
pub use plain::Plain;
pub use record::{Connect, DriverName};
pub use state::State;
