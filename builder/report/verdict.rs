//! The verdict of all checks together.

use serde::{Serialize, Serializer};

use super::check::{Check, Outcome};
use crate::values::counted;

/// In JSON `matches`, `differs` or `unknown`. The program exits with 0 only for the first: a property that could not
/// be checked does not count as passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every check was made, and has passed.
    Matches { checks: usize },
    /// At least one check has failed.
    Differs { failed: usize, skipped: usize, checks: usize },
    /// Nothing has failed, but not every check could be made, or there was none.
    Unknown { skipped: usize, checks: usize },
}

impl Verdict {
    pub fn of(all: &[Check]) -> Self {
        let count = |outcome| all.iter().filter(|check| check.outcome == outcome).count();
        let (failed, skipped, checks) = (count(Outcome::Failed), count(Outcome::Skipped), all.len());
        match (failed, skipped, checks) {
            (0, _, 0) | (0, 1.., _) => Self::Unknown { skipped, checks },
            (0, 0, _) => Self::Matches { checks },
            _ => Self::Differs { failed, skipped, checks },
        }
    }

    pub fn is_pass(self) -> bool {
        matches!(self, Self::Matches { .. })
    }

    /// One sentence on the cluster of this name.
    pub fn sentence(self, name: &str) -> String {
        match self {
            Self::Matches { checks } => {
                format!("{name}: the cluster matches the bundle ({} passed).", counted(checks, "check"))
            }
            Self::Differs { failed, skipped, checks } => {
                let also = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
                let checks = counted(checks, "check");
                format!("{name}: the cluster does NOT match the bundle ({failed} of {checks} failed{also}).")
            }
            Self::Unknown { checks: 0, .. } => {
                format!(
                    "{name}: no check was made, so it is not known whether the cluster matches the bundle."
                )
            }
            Self::Unknown { skipped, checks } => {
                let (were, checks) = (if skipped == 1 { "was" } else { "were" }, counted(checks, "check"));
                format!(
                    "{name}: nothing failed, but {skipped} of {checks} {were} skipped, so it is not known whether \
                     the cluster matches the bundle."
                )
            }
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Matches { .. } => "matches",
            Self::Differs { .. } => "differs",
            Self::Unknown { .. } => "unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::Fault;

    #[test]
    fn each_verdict_has_its_sentence() {
        let [ok, bad, skipped] = [
            Check::ok("a", None, ""),
            Check::failed("b", None, Fault::Stopped, ""),
            Check::skipped("c", None, ""),
        ];
        let cases = [
            (vec![], "x: no check was made, so it is not known whether the cluster matches the bundle."),
            (vec![&ok], "x: the cluster matches the bundle (1 check passed)."),
            (vec![&ok, &ok], "x: the cluster matches the bundle (2 checks passed)."),
            (vec![&ok, &bad], "x: the cluster does NOT match the bundle (1 of 2 checks failed)."),
            (
                vec![&bad, &skipped],
                "x: the cluster does NOT match the bundle (1 of 2 checks failed, 1 skipped).",
            ),
            (vec![&ok, &skipped], "x: nothing failed, but 1 of 2 checks was skipped"),
            (vec![&skipped], "x: nothing failed, but 1 of 1 check was skipped"),
        ];
        for (checks, want) in cases {
            let passes = !checks.is_empty() && checks.iter().all(|check| check.outcome == Outcome::Ok);
            let verdict = Verdict::of(&checks.into_iter().cloned().collect::<Vec<_>>());
            let sentence = verdict.sentence("x");
            assert!(sentence.starts_with(want), "{sentence}");
            assert_eq!(verdict.is_pass(), passes);
        }
    }
}
