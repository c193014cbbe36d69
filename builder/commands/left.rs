//! The state that each verb leaves behind after Ctrl-C, for the message about the interruption.

use crate::cli::{Keystore, Verb};

/// What remains, or that nothing does, as the second half of "interrupted; …". `None` where there is nothing to say.
pub fn behind(verb: &Verb) -> Option<&'static str> {
    Some(match verb {
        Verb::Build(_) => "no bundle was left behind",
        Verb::Join(_) | Verb::Pull(_) => "nothing was left behind",
        Verb::Rehearse(_) => "all members were stopped, and nothing was left behind",
        // Once there may be something, `up` says itself what there is.
        Verb::Up(_) => "no VM was started",
        Verb::Down(_) => "some VMs may still run: kiln status shows them; run kiln down again",
        Verb::Artifacts(_) => "complete imports stay in the store; add the other files again",
        Verb::Keystore(Keystore::Init { fleet: Some(_), .. }) => {
            "keystores that were already created stay; run the same command again to create the rest"
        }
        _ => return None,
    })
}
