//! Writes through each member, reads the value from all others, and deletes it.
//!
//! The keys have a lease: even if this program is killed, etcd deletes them when the lease ends.

use base64ct::{Base64, Encoding};

use super::look::Observed;
use crate::bundle::Manifest;
use crate::causes::Fault;
use crate::cluster::{Etcdctl, Lease, Range, Trouble, Written, hex_id};
use crate::parallel;
use crate::report::Check;
use crate::values::counted;

/// The prefix of every key that verify writes.
pub const PREFIX: &str = "kiln/verify/";

/// Seconds until etcd deletes the keys by itself. Writing and reading take a few, or as many as etcdctl's timeouts.
const LEASE: &str = "60";

/// A row per member that was written through, and one for the cleanup. `at_once` members are asked at a time.
pub fn check(
    manifest: &Manifest,
    seen: &[Observed<'_>],
    etcdctl: &Etcdctl,
    unique: &str,
    at_once: usize,
) -> Vec<Check> {
    let prefix = format!("{PREFIX}{unique}/");
    let able: Vec<_> = seen.iter().filter(|one| reason_against(manifest, one).is_none()).collect();
    // Ctrl-C does not stop a write: one that is stopped half-way may take effect after the cleanup.
    let lease = first(&able, |one| etcdctl.clear_up::<Lease>(&one.endpoint, &["lease", "grant", LEASE]));
    let put = |one: &&Observed<'_>| {
        let lease = lease.as_ref().map_err(Trouble::clone)?;
        let (lease, key) = (format!("--lease={}", hex_id(lease.id)), format!("{prefix}{}", one.name()));
        etcdctl.clear_up::<Written>(&one.endpoint, &["put", &lease, &key, unique])
    };
    let put = parallel::all(&able, at_once, put);
    let read = parallel::all(&able, at_once, |one| {
        etcdctl.ask::<Range>(&one.endpoint, &["get", "--prefix", &prefix])
    });
    // Whatever the result, no written key stays.
    let cleared = match &lease {
        Ok(lease) => {
            let revoke = ["lease", "revoke", &hex_id(lease.id)];
            first(&able, |one| etcdctl.clear_up::<Written>(&one.endpoint, &revoke)).map(drop)
        }
        Err(_) => Ok(()),
    };

    let mut checks = Vec::new();
    for one in seen {
        let at = able.iter().position(|other| other.name() == one.name());
        checks.push(match at.and_then(|at| Some((at, put.get(at)?))) {
            None => {
                let reason = reason_against(manifest, one).unwrap_or_default();
                Check::skipped(READ, Some(one.name()), reason)
            }
            Some((_, Err(trouble))) => {
                Check::failed(READ, Some(one.name()), trouble.fault, trouble.said.as_str())
            }
            Some((at, Ok(written))) => {
                let revision = written.header.revision;
                let write = Write { one, at, revision };
                read_everywhere(&write, &able, &read, &prefix, unique)
            }
        });
    }
    checks.push(match cleared {
        _ if put.iter().all(is_unwritten) => Check::skipped(CLEARED, None, "nothing was written"),
        Ok(()) => Check::ok(CLEARED, None, "none is left"),
        Err(trouble) => uncleared(&trouble, &prefix),
    });
    checks
}

fn uncleared(trouble: &Trouble, prefix: &str) -> Check {
    let what =
        format!("keys below {prefix} may be there for another {LEASE} seconds; then etcd deletes them");
    Check::failed(CLEARED, None, trouble.fault, format!("{what}: {}", trouble.said))
}

const READ: &str = "a write reaches every member";
const CLEARED: &str = "test keys deleted";

/// The first successful answer, or the last trouble.
fn first<T>(able: &[&Observed<'_>], ask: impl Fn(&Observed<'_>) -> Result<T, Trouble>) -> Result<T, Trouble> {
    let mut last = Err(Trouble::new(Fault::Unknown, "no member could be asked"));
    for one in able {
        last = ask(one);
        if last.is_ok() {
            break;
        }
    }
    last
}

/// Whether etcd has reported that it did not write; after any other error it may have written.
fn is_unwritten(put: &Result<Written, Trouble>) -> bool {
    put.as_ref()
        .is_err_and(|trouble| matches!(trouble.fault, Fault::NoUser | Fault::Permission | Fault::NoSpace))
}

/// The reason why nothing is written through a member.
fn reason_against(manifest: &Manifest, one: &Observed<'_>) -> Option<&'static str> {
    match (&one.status, &one.health) {
        (Err(_), _) => Some(one.silence()),
        // Nothing is written to another cluster.
        (Ok(status), _) if status.header.cluster_id != manifest.cluster.id.0 => {
            Some("it belongs to another cluster")
        }
        // Without a quorum a write would only wait for its timeout.
        (_, Err(_)) => Some("it is not healthy"),
        (Ok(_), Ok(())) => None,
    }
}

/// An acknowledged write: the member, its index among the usable ones, and the revision that it made.
struct Write<'a> {
    one: &'a Observed<'a>,
    at: usize,
    revision: u64,
}

fn read_everywhere(
    write: &Write<'_>,
    able: &[&Observed<'_>],
    read: &[Result<Range, Trouble>],
    prefix: &str,
    unique: &str,
) -> Check {
    let one = write.one;
    // In base64, as Go's JSON writes bytes.
    let base64 = |text: &str| Base64::encode_string(text.as_bytes());
    let (key, value) = (base64(&format!("{prefix}{}", one.name())), base64(unique));
    let mut readers = 0;
    for (index, (reader, range)) in able.iter().zip(read).enumerate() {
        match range {
            Ok(range) if range.kvs.iter().any(|pair| pair.key == key && pair.value == value) => {
                readers += usize::from(index != write.at);
            }
            Ok(_) => {
                let detail = format!("{} does not show it", reader.name());
                return Check::failed(READ, Some(one.name()), Fault::NotRead, detail);
            }
            Err(trouble) => {
                let detail = format!("reading it at {}: {}", reader.name(), trouble.said);
                return Check::failed(READ, Some(one.name()), trouble.fault, detail);
            }
        }
    }
    let revision = write.revision;
    let detail = match readers {
        0 => format!("revision {revision}"),
        _ => format!("revision {revision}, read at {}", counted(readers, "other")),
    };
    Check::ok(READ, Some(one.name()), detail)
}
