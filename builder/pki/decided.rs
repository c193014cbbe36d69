//! Who renews the certificates of a cluster, as its keystore has decided.

use std::path::Path;

use super::list::List;
use super::place::{LIST, part};

/// Whether nodes renew what the keystore in this directory has issued. `None` where it has issued nothing, is not
/// there, or cannot be read.
///
/// This is what a profile that says nothing of it is read with, before the keystore is opened: its checksum is not
/// looked at here, and another answer than that of the keystore itself is refused later.
pub fn renewed_on_nodes(dir: &Path) -> Option<bool> {
    let text = part(dir, LIST).ok()?;
    let list = List::parse(std::str::from_utf8(&text).ok()?).ok()?;
    let (fixed, _) = list.record().ok()?;
    fixed.map(|fixed| fixed.renews_on_nodes())
}
