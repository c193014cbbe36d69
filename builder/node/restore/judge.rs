//! Whether these orders are for what is on the disk.

use std::fmt::Display;
use std::path::Path;

use kiln_wire::{Id, LogIds, Restore};

use super::place::{JOURNAL, Place, RECORD};
use super::record::{Journal, Record, Restored};
use crate::disk;
use crate::failure::{Failure, Result};

/// What is there.
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    /// A generation before, or nothing; what it is kept as.
    Before(u32),
    /// The switch has begun, and the generation before it is kept as this one.
    Switching(u32),
    /// What these orders make.
    Switched,
}

/// Which it is.
///
/// # Errors
/// Where it is another cluster's, or newer than these orders.
pub fn judge(place: &Place<'_>) -> Result<State> {
    let at = |name| place.data().at(name).display().to_string();
    if let Some(journal) = place.journal()? {
        return switching(place.policy, journal, &at(JOURNAL));
    }
    of(place.policy, place.record()?, &place.logs()?, &at(RECORD))
}

/// What makes two restores the same.
pub fn wanted(policy: &Restore) -> Restored {
    Restored { generation: policy.generation, restore: policy.restore }
}

fn switching(policy: &Restore, journal: Journal, at: &str) -> Result<State> {
    if journal.restored == wanted(policy) {
        return Ok(State::Switching(journal.before));
    }
    let other = journal.restored;
    Err(Failure::new(format!(
        "{at}: the switch to {other} has begun; end it first with the orders of that restore, these are of {}",
        wanted(policy)
    )))
}

fn of(policy: &Restore, record: Option<Record>, logs: &[LogIds], at: &str) -> Result<State> {
    let of_before = |id: Id| policy.earlier.iter().rev().find(|one| one.cluster_id == id);
    let foreign = |id: Id, what: &dyn Display| {
        let known: Vec<_> = policy.earlier.iter().map(|one| one.cluster_id.to_string()).collect();
        Failure::new(format!(
            "{} has {what} of cluster {id}, and this restore is of {}, which was {}; nothing was changed. Use the \
             orders of that cluster, or attach this node's own disk",
            policy.data,
            policy.cluster,
            known.join(", ")
        ))
    };
    if let Some(log) =
        logs.iter().find(|log| log.cluster != policy.cluster_id && of_before(log.cluster).is_none())
    {
        return Err(foreign(log.cluster, &"the data"));
    }
    let own = |log: &LogIds| of_before(log.cluster).map_or(policy.member_id, |one| one.member_id);
    if let Some(log) = logs.iter().find(|log| log.member != own(log)) {
        return Err(Failure::new(format!(
            "{} has the data of member {} of {}, and {} was {}; nothing was changed. Use the orders of the node that \
             this disk is from, or attach this node's own disk",
            policy.data,
            log.member,
            policy.cluster,
            policy.node,
            own(log)
        )));
    }
    let is_new = |log: &LogIds| log.cluster == policy.cluster_id;
    if let Some(record) = record {
        if record.generation() >= policy.generation {
            return newer(policy, record, logs, at);
        }
        let place = record.generation() as usize - 1;
        if policy.earlier.get(place).is_none_or(|one| one.cluster_id != record.cluster) {
            return Err(foreign(record.cluster, &format_args!("the record ({at})")));
        }
    }
    if logs.iter().any(is_new) {
        return Err(Failure::new(format!(
            "{} has the data of cluster {}, which this restore would make, but {at} does not say so; it may have served \
             already, so nothing was changed",
            policy.data, policy.cluster_id
        )));
    }
    let of_logs = logs.iter().filter_map(|log| of_before(log.cluster)).map(|one| one.generation).max();
    let of_record = record.map(|record| record.generation());
    Ok(State::Before(of_logs.or(of_record).unwrap_or(policy.generation - 1)))
}

/// The record is of the same generation or a later one.
fn newer(policy: &Restore, record: Record, logs: &[LogIds], at: &str) -> Result<State> {
    if record.restored != Some(wanted(policy)) || record.cluster != policy.cluster_id {
        return Err(Failure::new(format!(
            "{} has served generation {} of its cluster ({at}: cluster {}{}), and this restore makes generation {} \
             (cluster {}, restore {}): this keystore is older than the cluster; restore from the newer one",
            policy.data,
            record.generation(),
            record.cluster,
            record.restored.map_or(String::new(), |restored| format!(", restore {}", restored.restore)),
            policy.generation,
            policy.cluster_id,
            policy.restore
        )));
    }
    match logs.is_empty() || logs.iter().any(|log| log.cluster != policy.cluster_id) {
        false => Ok(State::Switched),
        true => Err(Failure::new(format!(
            "{at} says that this node was switched to this restore before, but the data of that is gone; a member does \
             not begin again with what it was. Replace it (README: A first boot happens once)"
        ))),
    }
}

/// Whether the member has served as one of this generation, as the host remembers (`prepare.sh`) or root's own record
/// says (`formed.sh`), which names the cluster as etcd does.
pub fn has_served(policy: &Restore) -> bool {
    let served = format!("/var/lib/kiln/served-{:x}", policy.cluster_id);
    ["/run/kiln/formed", &served].iter().any(|path| disk::is_there(Path::new(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Restore {
        let text = r#"{
        "schema": 1, "cluster": "ha3", "node": "cp-a", "generation": 3, "restore": "00000000000000aa",
        "cluster-id": "0000000000000003", "member-id": "0000000000000009",
        "earlier": [{"generation": 1, "cluster-id": "0000000000000001", "member-id": "0000000000000009"},
            {"generation": 2, "cluster-id": "0000000000000002", "member-id": "0000000000000009"}],
        "snapshot": {"size": 20512, "sha256": "SHA", "revision": 7},
        "token": "ha3-g3", "members": [{"name": "cp-a", "peer-url": "https://10.0.0.1:2380"}],
        "program": "/usr/local/bin/etcdutl", "program-sha256": "SHA", "data": "/var/lib/etcd", "account": "etcd",
        "unit": "etcd.service"}"#;
        let policy: Restore = serde_json::from_str(&text.replace("SHA", &"0a".repeat(32))).unwrap();
        assert_eq!(policy.check(), Ok(()));
        policy
    }

    fn record(cluster: u64, generation: u32, restore: u64) -> Option<Record> {
        let restored = (generation > 1).then_some(Restored { generation, restore: Id(restore) });
        Some(Record { cluster: Id(cluster), restored })
    }

    fn judged(record: Option<Record>, clusters: &[u64]) -> std::result::Result<State, String> {
        let logs: Vec<_> = clusters.iter().map(|id| LogIds { member: Id(9), cluster: Id(*id) }).collect();
        of(&policy(), record, &logs, "kiln-cluster").map_err(|why| why.to_string())
    }

    #[test]
    fn what_was_before_may_be_replaced() {
        assert_eq!(judged(None, &[]), Ok(State::Before(2)));
        assert_eq!(judged(None, &[1]), Ok(State::Before(1)));
        assert_eq!(judged(record(1, 1, 0), &[]), Ok(State::Before(1)));
        assert_eq!(judged(record(2, 2, 5), &[2, 2]), Ok(State::Before(2)));
        // The data of a generation before came back by hand.
        assert_eq!(judged(record(2, 2, 5), &[1]), Ok(State::Before(1)));
        assert_eq!(judged(record(3, 3, 0xaa), &[3]), Ok(State::Switched));
    }

    #[test]
    fn everything_else_is_refused() {
        for (record, clusters, why) in [
            (None, &[7][..], "cluster 0000000000000007"),
            (None, &[1, 7], "cluster 0000000000000007"),
            (record(1, 1, 0), &[7], "cluster 0000000000000007"),
            (record(7, 1, 0), &[], "the record (kiln-cluster) of cluster 0000000000000007"),
            (record(1, 2, 5), &[1], "the record (kiln-cluster) of cluster 0000000000000001"),
            (record(3, 3, 0xab), &[3], "older than the cluster"),
            (record(9, 3, 0xaa), &[], "older than the cluster"),
            (record(4, 4, 1), &[], "generation 4 of its cluster"),
            (record(3, 3, 0xaa), &[], "is gone"),
            (record(3, 3, 0xaa), &[3, 2], "is gone"),
            (None, &[3], "may have served already"),
            (record(2, 2, 5), &[3], "may have served already"),
        ] {
            let said = judged(record, clusters).unwrap_err();
            assert!(said.contains(why), "{record:?} {clusters:?}: {said}");
        }
    }

    #[test]
    fn the_data_of_another_node_is_not_replaced() {
        for cluster in [1, 3] {
            let logs = [LogIds { member: Id(8), cluster: Id(cluster) }];
            let said = of(&policy(), None, &logs, "").unwrap_err().to_string();
            assert!(said.contains("the data of member 0000000000000008 of ha3"), "{said}");
        }
    }

    #[test]
    fn a_switch_goes_on_only_to_where_it_went() {
        let mut journal = Journal { restored: wanted(&policy()), before: 1 };
        assert_eq!(switching(&policy(), journal, "").unwrap(), State::Switching(1));
        journal.restored.restore = Id(1);
        assert!(switching(&policy(), journal, "").unwrap_err().to_string().contains("has begun"));
    }
}
