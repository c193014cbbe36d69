//! Which of the node's own snapshots go, from names alone.

use kiln_wire::SnapshotName;

/// Another clock, or this one before it was set, may have been ahead by so many seconds.
const AHEAD: u64 = 300;

/// One in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub name: SnapshotName,
    /// It is still to be uploaded.
    pub is_queued: bool,
}

/// While they wait for a bucket, so many stay: those that are kept otherwise, and two days of half hours more.
pub fn most_queued(keep: usize) -> usize {
    keep.saturating_mul(2).saturating_add(96)
}

/// What is to go, oldest first. `newest_sound` stays, whatever the settings are, and what is queued stays up to
/// `most_queued`. Snapshots from after `now` were named by a wrong clock: they are counted by themselves, so that they
/// do not push out those with the right time.
pub fn leaving(
    all: &[Kept],
    keep: usize,
    newest_sound: Option<&SnapshotName>,
    now: u64,
) -> Vec<SnapshotName> {
    let mut sorted: Vec<&Kept> = all.iter().collect();
    sorted.sort_by(|one, other| one.name.cmp(&other.name));
    let latest = now.saturating_add(AHEAD);
    let (now, ahead): (Vec<&Kept>, Vec<&Kept>) =
        sorted.into_iter().partition(|kept| kept.name.taken() <= latest);
    let of = |group: Vec<&Kept>| {
        let too_many = group.len().saturating_sub(keep);
        let far_too_many = group.len().saturating_sub(most_queued(keep));
        let goes = |(at, kept): &(usize, &&Kept)| {
            let is_over = if kept.is_queued { *at < far_too_many } else { *at < too_many };
            is_over && Some(&kept.name) != newest_sound
        };
        group.iter().enumerate().filter(goes).map(|(_, kept)| kept.name.clone()).collect::<Vec<_>>()
    };
    [of(now), of(ahead)].concat()
}

/// The order in which snapshots go where the disk is full: those that are uploaded first, and the oldest of them.
pub fn by_worth(all: &[Kept], newest_sound: Option<&SnapshotName>) -> Vec<SnapshotName> {
    let mut sorted: Vec<&Kept> = all.iter().filter(|kept| Some(&kept.name) != newest_sound).collect();
    sorted.sort_by(|one, other| (one.is_queued, &one.name).cmp(&(other.is_queued, &other.name)));
    sorted.into_iter().map(|kept| kept.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(taken: u64, is_queued: bool) -> Kept {
        let name = |text: &str| text.to_owned().try_into().unwrap();
        Kept { name: SnapshotName::new(name("a"), taken, 7, name("b")).unwrap(), is_queued }
    }

    fn times(names: &[SnapshotName]) -> Vec<u64> {
        names.iter().map(SnapshotName::taken).collect()
    }

    #[test]
    fn the_oldest_leave() {
        let all: Vec<_> = (1..=6).rev().map(|taken| kept(taken, false)).collect();
        assert_eq!(times(&leaving(&all, 4, Some(&all[0].name), 6)), [1, 2]);
        assert_eq!(times(&leaving(&all, 1, Some(&all[5].name), 6)), [2, 3, 4, 5]);
        assert!(leaving(&all, 6, None, 6).is_empty());
        assert!(leaving(&[], 1, None, 6).is_empty());
    }

    #[test]
    fn what_is_queued_stays_up_to_a_limit() {
        let all: Vec<_> = (1..=108).map(|taken| kept(taken, taken % 2 == 0)).collect();
        let gone = leaving(&all, 2, None, 108);
        // Of 108, the oldest 106 are more than 2, and the oldest 8 more than 100.
        assert_eq!(gone.len(), 53 + 4);
        assert!(gone.iter().all(|name| name.taken() % 2 == 1 || name.taken() <= 8));
    }

    #[test]
    fn a_clock_that_was_ahead_pushes_nothing_out() {
        let all: Vec<_> = [1, 2, 3, 10_001, 10_002, 10_003].map(|taken| kept(taken, false)).into();
        assert_eq!(times(&leaving(&all, 2, Some(&all[2].name), 3)), [1, 10_001]);
    }

    #[test]
    fn where_the_disk_is_full_the_uploaded_ones_go_first() {
        let all = [kept(1, true), kept(2, false), kept(3, true), kept(4, false), kept(5, false)];
        assert_eq!(times(&by_worth(&all, Some(&all[4].name))), [2, 4, 1, 3]);
    }
}
