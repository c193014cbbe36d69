//! When a certificate is valid, and when a node renews it.

/// Dates in seconds since 1970; the last ones are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub from: u64,
    /// The last.
    pub until: u64,
}

impl Validity {
    /// The time in which all of these are valid; the beginning of 1970 where there are none.
    pub fn of_all(all: impl Iterator<Item = Self>) -> Self {
        let both = |one: Self, other: Self| Self {
            from: one.from.max(other.from),
            until: one.until.min(other.until),
        };
        all.reduce(both).unwrap_or(Self { from: 0, until: 0 })
    }

    /// Whether this second is in it.
    pub fn has(self, at: u64) -> bool {
        (self.from..=self.until).contains(&at)
    }

    /// The second after this part of it.
    fn after(self, part: u64, of: u64) -> u64 {
        let life = self.until.saturating_sub(self.from);
        self.from.saturating_add(life / of * part + life % of * part / of)
    }

    /// When it is to be renewed: two thirds of it are over.
    pub fn due(self) -> u64 {
        self.after(2, 3)
    }

    /// When that has not been done for so long that people should look: two days, or half the way to `failing`.
    pub fn overdue(self) -> u64 {
        self.due().saturating_add(2 * 86_400).min(self.after(3, 4))
    }

    /// When it is urgent: five sixths of it are over.
    pub fn failing(self) -> u64 {
        self.after(5, 6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn a_renewal_is_due_then_overdue_then_urgent() {
        let cases = [(90 * DAY, 60 * DAY, 62 * DAY, 75 * DAY), (3600, 2400, 2700, 3000), (0, 0, 0, 0)];
        for (life, due, overdue, failing) in cases {
            let one = Validity { from: 7, until: 7 + life };
            assert_eq!((one.due(), one.overdue(), one.failing()), (7 + due, 7 + overdue, 7 + failing));
        }
    }

    #[test]
    fn a_chain_is_valid_while_all_of_it_is() {
        let all = [(5, 90), (1, 70), (3, 80)].map(|(from, until)| Validity { from, until });
        assert_eq!(Validity::of_all(all.into_iter()), Validity { from: 5, until: 70 });
        assert_eq!(Validity::of_all(std::iter::empty()), Validity { from: 0, until: 0 });
    }
}
