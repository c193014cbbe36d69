//! How much is read from a registry and about it, and how long it is waited for.

use std::time::Duration;

/// How long a connection may be silent.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// How many files are on their way at a time. A registry answers each with a few round trips: a handful at a time hides
/// them, more would look like an attack.
pub(super) const TRANSFERS: usize = 4;

/// The largest manifest in bytes: registries have to take 4 MiB (distribution-spec 1.1, "Pushing Manifests"), and many
/// take no more. That is about 16,000 files.
pub(super) const MAX_IMAGE_BYTES: u64 = 4 << 20;

/// The largest file that is read for a password, in bytes.
pub(super) const MAX_CREDENTIALS_BYTES: u64 = 1 << 20;
