//! Releases that a cluster should not be built with, and why.

use crate::etcd::{Release, keys};

/// When a fault is a reason to refuse the release; otherwise it causes a warning.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refuse {
    Always,
    /// In a single-member cluster no other member has a copy of the lost write.
    WithOneMember,
    WithAuthentication,
    Never,
}

struct Gate {
    /// First and last release with the fault.
    first: Release,
    last: Release,
    refuse: Refuse,
    why: &'static str,
}

const fn gate(first: [u16; 3], last: [u16; 3], refuse: Refuse, why: &'static str) -> Gate {
    let [a, b, c] = first;
    let [d, e, f] = last;
    Gate { first: Release::new(a, b, c), last: Release::new(d, e, f), refuse, why }
}

/// The first release of 3.5 that brings no removed members back, which would stop a member of 3.6 (etcd's announcement
/// of 3.6).
pub const BEFORE_3_6: Release = Release::new(3, 5, 26);

const IN_TRANSACTIONS: &str = "with authentication enabled, puts in transactions read the previous value and attach leases without permission \
                               (CVE-2026-44283)";
const HANDSHAKES: &str = "half-open TLS handshakes can exhaust its memory (CVE-2026-73500)";

/// The worst first. Numbers are etcd's issues; each row names the release that has the fix.
const GATES: [Gate; 16] = [
    // Fixed in 3.5.3, April 2022.
    gate([3, 5, 0], [3, 5, 2], Refuse::Always, "the members' data can diverge after a crash (#13766)"),
    // Fixed in 3.5.6, November 2022.
    gate(
        [3, 5, 0],
        [3, 5, 5],
        Refuse::Always,
        "a crash during defragmentation leaves a wrong revision (#14685)",
    ),
    // Fixed in 3.5.5 and 3.4.21, September 2022.
    gate(
        [3, 5, 0],
        [3, 5, 4],
        Refuse::WithOneMember,
        "a single member can lose an acknowledged write in a crash (#14370)",
    ),
    gate(
        [3, 4, 0],
        [3, 4, 20],
        Refuse::WithOneMember,
        "a single member can lose an acknowledged write in a crash (#14370)",
    ),
    // Fixed in 3.5.17, November 2024.
    gate([3, 5, 0], [3, 5, 16], Refuse::Never, "a transaction can be applied partially (#18799)"),
    // Fixed in `BEFORE_3_6`.
    gate(
        [3, 5, 0],
        [3, 5, 25],
        Refuse::Never,
        "removed members can reappear, which blocks an upgrade to 3.6",
    ),
    // Fixed in 3.5.28, March 2026.
    gate(
        [3, 5, 0],
        [3, 5, 27],
        Refuse::WithAuthentication,
        "with authentication enabled, low-privileged users can read any key (CVE-2026-33413, CVE-2026-33343)",
    ),
    // Fixed in 3.4.44, 3.5.30 and 3.6.11, May 2026.
    gate([3, 4, 0], [3, 4, 43], Refuse::WithAuthentication, IN_TRANSACTIONS),
    gate([3, 5, 0], [3, 5, 29], Refuse::WithAuthentication, IN_TRANSACTIONS),
    gate([3, 6, 0], [3, 6, 10], Refuse::WithAuthentication, IN_TRANSACTIONS),
    // Fixed in 3.5.31, 3.5.32 and 3.5.33, 2026.
    gate([3, 5, 0], [3, 5, 30], Refuse::Never, "a member update can promote a learner"),
    gate(
        [3, 5, 0],
        [3, 5, 31],
        Refuse::Never,
        "revoked certificates are accepted where listen-client-http-urls is set",
    ),
    gate([3, 5, 0], [3, 5, 32], Refuse::Never, HANDSHAKES),
    // The same fault, fixed in 3.6.14 and 3.7.1.
    gate([3, 6, 0], [3, 6, 13], Refuse::Never, HANDSHAKES),
    gate([3, 7, 0], [3, 7, 0], Refuse::Never, HANDSHAKES),
    gate([3, 4, 0], [3, 4, u16::MAX], Refuse::Never, "etcd 3.4 is no longer maintained"),
];

/// Known faults of a release for a cluster of this shape: one message for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Otherwise it is a warning.
    pub refused: bool,
    /// The worst fault, as a clause with the release as "it".
    pub worst: &'static str,
    /// The other faults, the worst first.
    pub others: Vec<&'static str>,
    /// The nearest later release without any of these faults.
    pub fixed: Option<Release>,
}

impl Verdict {
    /// All of them, the worst first.
    pub fn faults(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.worst).chain(self.others.iter().copied())
    }
}

/// `None` when the release has no known fault.
pub fn judge(release: Release, members: usize, authentication: bool) -> Option<Verdict> {
    let refuses = |gate: &Gate| match gate.refuse {
        Refuse::Always => true,
        Refuse::WithOneMember => members == 1,
        Refuse::WithAuthentication => authentication,
        Refuse::Never => false,
    };
    let against = faults(release, members);
    let (first, rest): (Vec<&Gate>, Vec<&Gate>) = against.iter().partition(|gate| refuses(gate));
    let refused = !first.is_empty();
    let reasons: Vec<&'static str> = first.into_iter().chain(rest).map(|gate| gate.why).collect();
    let (worst, others) = reasons.split_first()?;
    let fixed = keys::known_releases()
        .iter()
        .flat_map(|(first, last)| {
            (first.patch..=last.patch).map(|patch| Release::new(first.major, first.minor, patch))
        })
        .find(|later| *later > release && faults(*later, members).is_empty());
    Some(Verdict { refused, worst, others: others.to_vec(), fixed })
}

/// A fault that needs a single member does not apply to larger clusters.
fn faults(release: Release, members: usize) -> Vec<&'static Gate> {
    let has = |gate: &&Gate| {
        (gate.first..=gate.last).contains(&release) && (gate.refuse != Refuse::WithOneMember || members == 1)
    };
    GATES.iter().filter(has).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(release: &str, members: usize, authentication: bool) -> Option<Verdict> {
        judge(release.parse().unwrap(), members, authentication)
    }

    #[test]
    fn releases_are_refused_or_warned_about_as_the_table_says() {
        let cases = [
            ("3.5.2", 3, false, Some((true, "3.5.33", "diverge after a crash"))),
            ("3.5.4", 3, false, Some((true, "3.5.33", "defragmentation"))),
            ("3.5.5", 3, false, Some((true, "3.5.33", "defragmentation"))),
            ("3.5.6", 3, false, Some((false, "3.5.33", "transaction"))),
            ("3.5.16", 3, false, Some((false, "3.5.33", "transaction"))),
            ("3.5.16", 3, true, Some((true, "3.5.33", "authentication"))),
            ("3.5.27", 3, true, Some((true, "3.5.33", "authentication"))),
            ("3.5.28", 3, true, Some((true, "3.5.33", "transactions"))),
            ("3.5.29", 3, false, Some((false, "3.5.33", "transactions"))),
            ("3.5.30", 3, true, Some((false, "3.5.33", "learner"))),
            ("3.6.10", 3, true, Some((true, "3.6.14", "transactions"))),
            ("3.5.32", 3, false, Some((false, "3.5.33", "handshakes"))),
            ("3.5.33", 3, true, None),
            ("3.4.20", 3, false, Some((false, "3.5.33", "transactions"))),
            ("3.4.43", 3, true, Some((true, "3.5.33", "transactions"))),
            ("3.4.44", 3, true, Some((false, "3.5.33", "no longer maintained"))),
            ("3.4.20", 1, false, Some((true, "3.5.33", "acknowledged write"))),
            ("3.4.23", 1, false, Some((false, "3.5.33", "transactions"))),
            ("3.6.13", 3, false, Some((false, "3.6.14", "handshakes"))),
            ("3.6.14", 3, false, None),
            ("3.7.0", 3, false, Some((false, "3.7.1", "handshakes"))),
            ("3.7.1", 3, false, None),
        ];
        for (release, members, authentication, want) in cases {
            let got = verdict(release, members, authentication);
            let shape = got.as_ref().map(|v| (v.refused, v.fixed.unwrap().to_string()));
            assert_eq!(shape, want.map(|(refused, fixed, _)| (refused, fixed.into())), "{release}");
            if let (Some(got), Some((_, _, worst))) = (got, want) {
                assert!(got.worst.contains(worst), "{release}: {}", got.worst);
            }
        }
    }
}
