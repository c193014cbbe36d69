//! Snapshots that nodes have taken: which ones there are, which of them a node of the cluster
//! has signed, and what is in them.

#[cfg(feature = "s3")]
mod bucket;
mod entry;
mod freshness;
mod listing;
mod place;
mod plain;
mod reader;
mod survivor;
mod take;

#[cfg(feature = "s3")]
pub use bucket::Bucket;
pub use freshness::check as check_newest;
#[cfg(feature = "s3")]
pub use listing::of_bundle;
pub use listing::{Chosen, Snapshot, all, chosen};
pub use place::{Directory, Place};
#[cfg(feature = "s3")]
pub use plain::is_whole_there as is_whole;
pub use plain::{Counted, Plain};
pub use reader::Reader;
pub use survivor::Survivor;
pub use take::take;
