//! A keystore that is not as Kiln wrote it.

use crate::failure::Failure;

pub(super) fn changed() -> Failure {
    Failure::untrusted(
        "a part of it was changed since kiln wrote it; restore the whole directory from a backup, and do not \
         build from it as it is",
    )
}
