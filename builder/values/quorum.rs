//! The arithmetic of a quorum: etcd's members decide by majority (Raft, section 5 of the paper).

use serde::Serialize;

/// The number of members of a cluster, all of them voting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Members(usize);

impl Members {
    pub fn new(count: usize) -> Self {
        Self(count)
    }

    /// The members that must serve for a write.
    pub fn quorum(self) -> usize {
        self.0 / 2 + 1
    }

    /// Whether a quorum is left without so many of them.
    pub fn survives(self, lost: usize) -> bool {
        self.0.saturating_sub(lost) >= self.quorum()
    }

    /// The largest number of members whose loss a cluster survives.
    pub fn tolerates(self) -> usize {
        self.0.saturating_sub(self.quorum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_member_adds_no_tolerance() {
        let all: Vec<_> = (1..=7).map(|n| (Members::new(n).quorum(), Members::new(n).tolerates())).collect();
        assert_eq!(all, [(1, 0), (2, 0), (2, 1), (3, 1), (3, 2), (4, 2), (4, 3)]);
        assert_eq!(Members::new(0).tolerates(), 0);
    }
}
