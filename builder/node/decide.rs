//! What is to be done, from dates alone.

use kiln_wire::Validity;

/// The dates that decide.
#[derive(Clone, Copy, Debug)]
pub struct Dates {
    /// What the clock shows.
    pub now: u64,
    /// The time in which all issuers are valid.
    pub issuers: Validity,
    /// The life of what is made here, in seconds.
    pub life: u64,
    /// Whether this node has made none yet, as far as it can remember.
    pub is_first: bool,
}

/// Why there is something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The live generation is missing, damaged, or not what the policy wants.
    Unsound,
    /// It is not valid yet: the clock was wrong when it was made, or is now.
    Early,
    /// It is not valid any more.
    Expired,
    /// Two thirds of its life are over.
    Due,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Keep,
    /// Another generation that is sound and valid, or a new one.
    Replace(Reason),
    /// Nothing can be done.
    Refuse(Refusal),
}

/// Why nothing can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The issuers are not valid yet.
    IssuerEarly,
    /// They are not valid any more.
    IssuerExpired,
    /// So much of their life is over at their first use that the clock must be ahead.
    LateFirstUse,
    /// They end with the live certificates, so new ones would not help.
    IssuerEnds,
}

/// The dates of what this node would make now.
pub fn new_one(dates: &Dates) -> Validity {
    // Other machines' clocks may be behind; a short life keeps its proportions.
    let back = (dates.life / 10).min(3600);
    let from = dates.now.saturating_sub(back).max(dates.issuers.from);
    Validity { from, until: from.saturating_add(dates.life).min(dates.issuers.until) }
}

/// `live` is absent where it is unsound.
pub fn decide(dates: &Dates, live: Option<Validity>) -> Step {
    let Dates { now, issuers, is_first, .. } = *dates;
    let reason = match live {
        None => Reason::Unsound,
        Some(live) if now < live.from => Reason::Early,
        Some(live) if now > live.until => Reason::Expired,
        Some(live) if now >= live.due() => Reason::Due,
        Some(_) => return Step::Keep,
    };
    let refusal = match () {
        () if now < issuers.from => Refusal::IssuerEarly,
        () if now > issuers.until => Refusal::IssuerExpired,
        // What is valid now says that the clock is right.
        () if is_first && now >= issuers.due() && !live.is_some_and(|live| live.has(now)) => {
            Refusal::LateFirstUse
        }
        () if reason == Reason::Due && live.is_some_and(|live| live.until >= issuers.until) => {
            Refusal::IssuerEnds
        }
        () => return Step::Replace(reason),
    };
    Step::Refuse(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const YEAR: u64 = 365 * DAY;

    fn dates(now: u64) -> Dates {
        let issuers = Validity { from: 100 * DAY, until: 100 * DAY + 5 * YEAR };
        Dates { now, issuers, life: 90 * DAY, is_first: false }
    }

    fn live(from: u64) -> Option<Validity> {
        Some(Validity { from, until: from + 90 * DAY })
    }

    #[test]
    fn each_date_has_its_step() {
        let start = 110 * DAY;
        for (now, want) in [
            (start, Step::Keep),
            (start + 60 * DAY - 1, Step::Keep),
            (start + 60 * DAY, Step::Replace(Reason::Due)),
            (start + 90 * DAY, Step::Replace(Reason::Due)),
            (start + 90 * DAY + 1, Step::Replace(Reason::Expired)),
            (start - 1, Step::Replace(Reason::Early)),
            (100 * DAY - 1, Step::Refuse(Refusal::IssuerEarly)),
            (100 * DAY + 5 * YEAR + 1, Step::Refuse(Refusal::IssuerExpired)),
        ] {
            assert_eq!(decide(&dates(now), live(start)), want, "{now}");
        }
        assert_eq!(decide(&dates(start), None), Step::Replace(Reason::Unsound));
    }

    #[test]
    fn a_clock_that_is_far_ahead_makes_nothing_at_first_use() {
        let late = 100 * DAY + 5 * YEAR / 3 * 2 + DAY;
        let first = Dates { is_first: true, ..dates(late) };
        assert_eq!(decide(&first, None), Step::Refuse(Refusal::LateFirstUse));
        assert_eq!(decide(&dates(late), None), Step::Replace(Reason::Unsound));
    }

    #[test]
    fn before_the_issuers_end_nothing_is_made_that_does_not_help() {
        let end = 100 * DAY + 5 * YEAR;
        let last = Some(Validity { from: end - 30 * DAY, until: end });
        assert_eq!(decide(&dates(end - DAY), last), Step::Refuse(Refusal::IssuerEnds));
        assert_eq!(decide(&dates(end - DAY), None), Step::Replace(Reason::Unsound));
    }

    /// What Kiln issues lives for longer than what a node makes, and is replaced all the same.
    #[test]
    fn certificates_that_end_later_than_new_ones_are_renewed_when_they_are_due() {
        let first = Some(Validity { from: 110 * DAY, until: 110 * DAY + YEAR });
        let due = 110 * DAY + YEAR / 3 * 2;
        assert_eq!(decide(&dates(due - DAY), first), Step::Keep);
        assert_eq!(decide(&dates(due + 1), first), Step::Replace(Reason::Due));
    }

    #[test]
    fn what_is_made_now_is_kept_for_a_while() {
        for life in [6, 20, 3600, 90 * DAY, 10 * YEAR] {
            for now in [101 * DAY, 101 * DAY + 1, 400 * DAY, 100 * DAY + 5 * YEAR - 10] {
                let dates = Dates { life, ..dates(now) };
                let made = new_one(&dates);
                assert!(made.has(now), "{life} {now}");
                assert!(made.due() <= made.overdue() && made.overdue() <= made.failing(), "{life} {now}");
                assert!(made.failing() <= made.until, "{life} {now}");
                if now + life <= dates.issuers.until {
                    assert_eq!(decide(&dates, Some(made)), Step::Keep, "{life} {now}");
                }
            }
        }
    }

    /// All combinations of dates that are at an edge, also such as no certificate has.
    #[test]
    fn no_date_is_too_large_or_too_small() {
        let edges = [0, 1, 6, DAY, 110 * DAY, u64::MAX / 2, u64::MAX - 1, u64::MAX];
        let pairs = || edges.into_iter().flat_map(|from| edges.map(|until| Validity { from, until }));
        for now in edges {
            for issuers in pairs() {
                for (life, is_first) in
                    [6, 90 * DAY, 10 * YEAR, u64::MAX].into_iter().zip([false, true].into_iter().cycle())
                {
                    for live in pairs().map(Some).chain([None]) {
                        check(&Dates { now, issuers, life, is_first }, live);
                    }
                }
            }
        }
    }

    fn check(dates: &Dates, live: Option<Validity>) {
        if let Some(live) = live.filter(|live| live.from <= live.until) {
            let steps = [live.from, live.due(), live.overdue(), live.failing(), live.until];
            assert!(steps.is_sorted(), "{live:?}: {steps:?}");
        }
        match decide(dates, live) {
            Step::Keep => assert!(live.is_some_and(|live| live.has(dates.now)), "{dates:?} {live:?}"),
            Step::Replace(reason) => {
                let made = new_one(dates);
                assert!(made.has(dates.now), "{dates:?} {live:?}");
                let gains =
                    reason != Reason::Due || live.is_some_and(|live| dates.issuers.until > live.until);
                assert!(gains, "{dates:?} {live:?}");
            }
            Step::Refuse(_) => {}
        }
    }
}
