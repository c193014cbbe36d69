//! How often, how patiently and how many at a time members are asked.

use std::time::Duration;

use super::look::Motion;
use crate::cluster::Patience;

/// The time for members to agree on a leader. An election takes a few election timeouts (raft's are a second, plus up
/// to another at random); a cluster without a quorum does not change.
///
/// Emulated machines without KVM need several rounds of some seconds: answering is itself much work for them.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(20);

/// The time for members that have a leader to answer in time. They have a quorum, so there is something to wait for.
const SLOWNESS_TIMEOUT: Duration = Duration::from_secs(60);

/// How members are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    Usual,
    /// With more patience, and one after the other: some have not answered in time, or the machine that all of them
    /// share is too slow for all of them.
    Slow,
}

impl Pace {
    /// The number of members that are asked at the same time.
    pub fn at_once(self, members: usize) -> usize {
        match self {
            Pace::Usual => members,
            Pace::Slow => 1,
        }
    }

    pub fn patience(self) -> Patience {
        match self {
            Pace::Usual => Patience::USUAL,
            Pace::Slow => Patience::LONG,
        }
    }

    /// The pace of the next round, when one at this pace has shown some motion; `None` when there is none any more.
    /// What was slow once is not hurried again.
    pub fn next(self, motion: Motion, since: Duration) -> Option<Self> {
        let (is_over, next) = match motion {
            Motion::Electing => (since >= ELECTION_TIMEOUT, self),
            Motion::Slow => (since >= SLOWNESS_TIMEOUT, Pace::Slow),
            // A process that hangs is silent for ever, so it is asked once more, with the patience for a busy one.
            Motion::Silent => (self == Pace::Slow, Pace::Slow),
        };
        (!is_over).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An election after a slow round put the patience back to the usual one, also for writes and the trust of ports.
    #[test]
    fn what_was_slow_once_is_not_hurried_again() {
        let early = Duration::from_secs(1);
        let cases = [
            (Pace::Usual, Motion::Electing, early, Some(Pace::Usual)),
            (Pace::Slow, Motion::Electing, early, Some(Pace::Slow)),
            (Pace::Usual, Motion::Electing, ELECTION_TIMEOUT, None),
            (Pace::Usual, Motion::Slow, early, Some(Pace::Slow)),
            (Pace::Slow, Motion::Slow, ELECTION_TIMEOUT, Some(Pace::Slow)),
            (Pace::Slow, Motion::Slow, SLOWNESS_TIMEOUT, None),
            (Pace::Usual, Motion::Silent, ELECTION_TIMEOUT, Some(Pace::Slow)),
            (Pace::Slow, Motion::Silent, early, None),
        ];
        for (pace, motion, since, want) in cases {
            assert_eq!(pace.next(motion, since), want, "{pace:?} {motion:?} {since:?}");
        }
        assert_eq!((Pace::Usual.at_once(5), Pace::Slow.at_once(5)), (5, 1));
    }
}
