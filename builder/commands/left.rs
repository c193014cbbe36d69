//! What Ctrl-C leaves of each verb, said when it was pressed.

use crate::cli::{Keystore, Verb};

/// What stays, or that nothing does, as the second half of "interrupted; …". `None` where there is nothing to say.
pub fn behind(verb: &Verb) -> Option<&'static str> {
    Some(match verb {
        Verb::Build(_) | Verb::Join(_) | Verb::Pull(_) => "nothing was left behind",
        Verb::Rehearse(_) => "the members have ended, and nothing of them was left behind",
        Verb::Up(_) => "machines that were started go on: kiln status shows them, and kiln down ends them",
        Verb::Down(_) => "machines may still run: kiln status shows them, and kiln down goes on",
        Verb::Artifacts(_) => "what was complete stays in the store; add the files again for the rest",
        Verb::Keystore(Keystore::Init { fleet: Some(_), .. }) => {
            "keystores that were made before stay, and the same command makes the others"
        }
        _ => return None,
    })
}
