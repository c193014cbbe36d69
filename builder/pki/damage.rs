//! Errors for a keystore that is damaged.

use crate::failure::Failure;

pub(super) fn changed() -> Failure {
    Failure::untrusted(
        "it was changed since Kiln wrote it; restore the whole directory from a backup, and do not \
         build from it as it is",
    )
}
