//! Who renews the certificates of a cluster, as its keystore has decided.

use std::path::Path;

use super::list::{List, Origin};
use super::place::{LIST, encrypted, is_there, part};
use super::successor::SECRET;
use crate::plan::{CA, PEER_CA};

/// Whether nodes renew what the keystore in this directory issues. `None` where that is not decided: there is none yet,
/// or it has issued nothing. The desk renews what one with an imported CA issues; and one from before nodes could
/// renew, which has no secret for the CAs that follow its own, and no record of what it has issued; and one that cannot
/// be read.
///
/// This is what a profile that says nothing of it is read with, before the keystore is opened: its checksum is not
/// looked at here, and another answer than that of the keystore itself is refused later.
pub fn renewed_on_nodes(dir: &Path) -> Option<bool> {
    match is_there(dir) {
        Ok(false) => None,
        _ => recorded(dir).unwrap_or(Some(false)),
    }
}

/// `None` where the list cannot be read.
fn recorded(dir: &Path) -> Option<Option<bool>> {
    let text = part(dir, LIST).ok()?;
    let list = List::parse(std::str::from_utf8(&text).ok()?).ok()?;
    let (fixed, _) = list.record().ok()?;
    let has_successor = || [SECRET.to_owned(), encrypted(SECRET)].iter().any(|name| part(dir, name).is_ok());
    let is_imported = || [CA, PEER_CA].iter().any(|name| matches!(list.origin(name), Origin::Imported));
    Some(match fixed {
        Some(fixed) => Some(fixed.renews_on_nodes()),
        None => (is_imported() || !has_successor()).then_some(false),
    })
}
