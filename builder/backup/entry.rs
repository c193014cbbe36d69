//! What a place has, before anything of it is believed.

use kiln_wire::SnapshotName;

/// A snapshot by its name, before anything of it is believed.
pub struct Entry {
    pub name: SnapshotName,
    /// Of the encrypted file, in bytes; `None` where only its record is there.
    pub size: Option<u64>,
    pub has_record: bool,
}

/// What lies where a record should.
pub enum Found {
    Bytes(Vec<u8>),
    Nothing,
    /// With the reason: whoever can write there can make one of them so.
    Unreadable(String),
}
