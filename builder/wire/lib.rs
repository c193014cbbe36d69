//! What Kiln writes for the program on a node (`builder/node`), which reads it: each value is checked when it is read,
//! so that a field has no other values than the ones that its type says.

mod policy;
mod text;
mod validity;
pub mod x509;

pub use policy::{
    Algorithm, Attribute, AttributeType, Kind, LONGEST_LIFE, Pair, Policy, SCHEMA, Text, Usage,
};
pub use text::{Account, DnsName, FileName, FilePath, Invalid, Name};
pub use validity::Validity;
