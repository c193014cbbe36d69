//! Snapshots, kiln-node's and the desk's: with real members, Debian's age, moto, and a service that checks signatures.

mod desk;
mod foreign;
mod hostile;
mod killed;
pub mod machine;
mod services;
mod taking;
mod uploading;
