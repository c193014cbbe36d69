//! What may be removed from a bucket. Whoever asks, and whatever the settings are, the newest sound snapshot stays.

use std::fmt;

use super::snapshot_name::SnapshotName;
use super::text::Name;

const DAY: u64 = 86_400;
/// In one run at most a tenth of all, and so many: a wrong rule or clock does not empty a bucket at once.
const AT_ONCE: usize = 48;
const PART: usize = 10;
/// Clocks of other nodes may be ahead by so many seconds.
pub const AHEAD: u64 = 300;
/// Without a newer snapshot for so many intervals, nothing is removed.
const PATIENCE: u64 = 2;

/// How long snapshots are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// What is older may go.
    pub days: u32,
    /// Between two snapshots, in seconds.
    pub interval: u64,
}

/// A snapshot in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// As its key says; the signed record says the same where it is sound.
    pub name: SnapshotName,
    /// A node of the cluster has signed its record, and the file has the size that the record says.
    pub is_sound: bool,
}

/// Why nothing is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPrune {
    /// There is no sound one.
    NoneSound,
    /// The newest sound one is older than two intervals; with its name.
    NewestIsOld(SnapshotName),
}

impl fmt::Display for NoPrune {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneSound => f.write_str("there is no sound snapshot"),
            Self::NewestIsOld(name) => {
                write!(f, "the newest sound snapshot, {name}, is older than two intervals")
            }
        }
    }
}

/// The sound ones of this cluster that may go, oldest first. What is not sound is left: nobody knows what it is, or
/// when it was made. So is what was taken after `now`, which says that a clock was wrong.
///
/// # Errors
/// Where nothing may go at all.
pub fn expired(
    all: &[Held],
    cluster: &Name,
    rule: Retention,
    now: u64,
) -> Result<Vec<SnapshotName>, NoPrune> {
    let latest = now.saturating_add(AHEAD);
    let mut sound: Vec<&SnapshotName> = all
        .iter()
        .filter(|held| held.is_sound && held.name.cluster() == cluster && held.name.taken() <= latest)
        .map(|held| &held.name)
        .collect();
    sound.sort();
    sound.dedup();
    // One that is ahead by less does not stand for the newest that is certain.
    let certain = sound.iter().rfind(|name| name.taken() <= now).copied();
    let newest = sound.pop().ok_or(NoPrune::NoneSound)?;
    if newest.taken().saturating_add(rule.interval.saturating_mul(PATIENCE)) < now {
        return Err(NoPrune::NewestIsOld(newest.clone()));
    }
    let most = (sound.len() + 1) / PART + AT_ONCE;
    let age = u64::from(rule.days) * DAY;
    let is_old = |name: &&&SnapshotName| name.taken().saturating_add(age) < now && Some(**name) != certain;
    Ok(sound.iter().filter(is_old).take(most).map(|name| (*name).clone()).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        text.to_owned().try_into().unwrap()
    }

    fn held(cluster: &str, taken: u64, is_sound: bool) -> Held {
        let name = SnapshotName::new(name(cluster), taken, 1 + taken / 7, name("cp-a")).unwrap();
        Held { name, is_sound }
    }

    const NOW: u64 = 1_764_000_000;
    const RULE: Retention = Retention { days: 1, interval: 1800 };

    #[test]
    fn what_is_old_goes() {
        let all: Vec<_> = (0..100).map(|back| held("a", NOW - back * 1800, true)).collect();
        let gone = expired(&all, &name("a"), RULE, NOW).unwrap();
        assert_eq!(gone.len(), 100 - 49);
        assert!(gone.iter().is_sorted() && gone.iter().all(|name| name.taken() < NOW - DAY));
        let many: Vec<_> = (0..1000).map(|back| held("a", NOW - back * 1800, true)).collect();
        assert_eq!(expired(&many, &name("a"), RULE, NOW).unwrap().len(), 100 + 48);
    }

    #[test]
    fn without_a_new_one_nothing_goes() {
        let all: Vec<_> = (3..100).map(|back| held("a", NOW - back * 1800, true)).collect();
        assert!(matches!(expired(&all, &name("a"), RULE, NOW), Err(NoPrune::NewestIsOld(_))));
        // Neither one whose clock was ahead nor one that is not sound is a new one.
        let ahead =
            [all.as_slice(), &[held("a", NOW + 4000, true), held("a", NOW, false), held("b", NOW, true)]];
        assert!(matches!(expired(&ahead.concat(), &name("a"), RULE, NOW), Err(NoPrune::NewestIsOld(_))));
        assert_eq!(expired(&[held("a", NOW, false)], &name("a"), RULE, NOW), Err(NoPrune::NoneSound));
    }

    proptest! {
        #[test]
        fn the_newest_sound_one_survives_every_setting(
            all in prop::collection::vec((0_u64..4_000_000, any::<bool>(), 0..2_usize), 0..300),
            days in prop_oneof![Just(0), Just(1), Just(u32::MAX), 0_u32..50],
            interval in prop_oneof![Just(0), Just(u64::MAX), 0_u64..4_000_000],
            now in prop_oneof![Just(0), Just(u64::MAX), 0_u64..8_000_000],
        ) {
            let all: Vec<_> =
                all.into_iter().map(|(taken, is_sound, of)| held(["a", "b"][of], taken, is_sound)).collect();
            let cluster = name("a");
            let gone = expired(&all, &cluster, Retention { days, interval }, now).unwrap_or_default();
            let own = || all.iter().filter(|held| held.is_sound && *held.name.cluster() == cluster);
            prop_assert!(gone.len() <= all.len() / 10 + 48);
            prop_assert!(gone.iter().all(|name| own().any(|held| held.name == *name)));
            let newest = own().map(|held| &held.name).max();
            let newest_by_now = own().map(|held| &held.name).filter(|name| name.taken() <= now).max();
            prop_assert!(gone.iter().all(|name| Some(name) != newest && Some(name) != newest_by_now));
        }
    }
}
