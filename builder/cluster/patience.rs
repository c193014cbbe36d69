//! The time that a member has for its answer.

use std::time::Duration;

/// The time for a connection, for its TLS handshake, and for each answer on it.
///
/// An answer on a local network takes milliseconds. An emulated machine, or one that shares its processors with many,
/// may need seconds for a handshake; a client that gives up earlier and tries again only adds to its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience(Duration);

impl Patience {
    pub const USUAL: Self = Self(Duration::from_secs(2));

    /// For a member that was too slow before.
    pub const LONG: Self = Self(Duration::from_secs(8));

    const LONGEST: Self = Self(Duration::from_secs(32));

    /// Twice as long, up to half a minute.
    #[must_use]
    pub fn more(self) -> Self {
        Self((self.0 * 2).min(Self::LONGEST.0))
    }

    /// Not beyond the end of a wait that has `left`; at least the usual time.
    #[must_use]
    pub fn within(self, left: Duration) -> Self {
        Self(self.0.min(left).max(Self::USUAL.0))
    }

    pub(super) fn for_an_answer(self) -> Duration {
        self.0
    }

    /// For a whole reply, which may come in pieces, each within [`Self::for_an_answer`]: a server that sends a byte now
    /// and then does not block the run.
    pub(super) fn for_a_reply(self) -> Duration {
        self.0 * 5 / 2
    }

    /// For a command of several requests.
    pub(super) fn for_a_command(self) -> Duration {
        self.0 * 3 / 2
    }

    /// For a program that was given [`Self::for_a_command`] and should have ended by itself.
    pub(super) fn for_a_program(self) -> Duration {
        self.for_a_command() + Duration::from_secs(5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_up_to_its_limit_and_ends_with_the_wait() {
        let grown: Vec<_> = std::iter::successors(Some(Patience::USUAL), |one| Some(one.more()))
            .take(6)
            .map(|one| one.0.as_secs())
            .collect();
        assert_eq!(grown, [2, 4, 8, 16, 32, 32]);
        let left = |seconds| Patience::LONGEST.within(Duration::from_secs(seconds)).0.as_secs();
        assert_eq!([left(600), left(5), left(0)], [32, 5, 2]);
    }
}
