//! Limits on the data that is read from a registry and about it, and on the time to wait for it.

use std::time::Duration;

/// The limit on the silence of a connection.
pub(super) const SILENCE_TIMEOUT: Duration = Duration::from_secs(120);

/// The number of files transferred at the same time. A registry needs a few round trips for each: a handful in
/// parallel hides them, more would look like an attack.
pub(super) const MAX_TRANSFERS: usize = 4;

/// The largest manifest in bytes: registries must accept 4 MiB (distribution-spec 1.1, "Pushing Manifests"), and many
/// accept no more. That is about 16,000 files.
pub(super) const MAX_IMAGE_BYTES: u64 = 4 << 20;

/// The largest file that is read for a password or a CA, in bytes.
pub(super) const MAX_CREDENTIALS_BYTES: u64 = 1 << 20;
