//! `Profile` -> `Plan`: every default filled in, every decision made, per node.

mod certificate;

pub use certificate::{CertificateSpec, Usage};
