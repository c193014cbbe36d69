//! Writing through each member, reading it at all others, and taking it away again.
//!
//! What is written hangs on a lease: whatever happens to this program, etcd deletes it when the lease ends.

use super::look::Seen;
use crate::bundle::Manifest;
use crate::causes::Fault;
use crate::cluster::{Etcdctl, Lease, Range, Trouble, Written, hex_id};
use crate::parallel;
use crate::report::Check;
use crate::values::counted;

/// Every key that verify ever writes begins with this.
pub const PREFIX: &str = "kiln/verify/";

/// Seconds until etcd deletes the keys by itself. Writing and reading take a few, or as many as etcdctl's deadlines.
const LEASE: &str = "60";

/// A row per member that was written through, and one for the clearing up.
pub fn check(manifest: &Manifest, seen: &[Seen<'_>], etcdctl: &Etcdctl, unique: &str) -> Vec<Check> {
    let prefix = format!("{PREFIX}{unique}/");
    let able: Vec<_> = seen.iter().filter(|one| reason_against(manifest, one).is_none()).collect();
    // Ctrl-C stops no write: one that is stopped half-way may come after the clearing up.
    let lease = first(&able, |one| etcdctl.clear_up::<Lease>(&one.endpoint, &["lease", "grant", LEASE]));
    let put = |one: &&Seen<'_>| {
        let lease = lease.as_ref().map_err(Trouble::clone)?;
        let (lease, key) = (format!("--lease={}", hex_id(lease.id)), format!("{prefix}{}", one.name()));
        etcdctl.clear_up::<Written>(&one.endpoint, &["put", &lease, &key, unique])
    };
    let put = parallel::all(&able, able.len(), put);
    let read = parallel::all(&able, able.len(), |one| {
        etcdctl.ask::<Range>(&one.endpoint, &["get", "--prefix", &prefix])
    });
    // Whatever came of it: nothing that was written stays.
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
        Err(trouble) => Check::failed(
            CLEARED,
            None,
            trouble.fault,
            format!(
                "keys below {prefix} may be there for another {LEASE} seconds; then etcd deletes them: {}",
                trouble.said
            ),
        ),
    });
    checks
}

const READ: &str = "a write reaches every member";
const CLEARED: &str = "test keys deleted";

/// The first good answer, or the last trouble.
fn first<T>(able: &[&Seen<'_>], ask: impl Fn(&Seen<'_>) -> Result<T, Trouble>) -> Result<T, Trouble> {
    let mut last = Err(Trouble { fault: Fault::Unknown, said: "no member could be asked".into() });
    for one in able {
        last = ask(one);
        if last.is_ok() {
            break;
        }
    }
    last
}

/// Whether etcd has said that it did not write; after any other trouble it may have.
fn is_unwritten(put: &Result<Written, Trouble>) -> bool {
    put.as_ref()
        .is_err_and(|trouble| matches!(trouble.fault, Fault::NoUser | Fault::Permission | Fault::NoSpace))
}

/// Why nothing is written through a member.
fn reason_against(manifest: &Manifest, one: &Seen<'_>) -> Option<&'static str> {
    match (&one.status, &one.health) {
        (Err(_), _) => Some(one.silence()),
        // What is somebody else's is not written to.
        (Ok(status), _) if status.header.cluster_id != manifest.cluster.id.0 => {
            Some("it belongs to another cluster")
        }
        // Without a quorum a write would only wait for its deadline.
        (_, Err(_)) => Some("it is not healthy"),
        (Ok(_), Ok(())) => None,
    }
}

/// A write that was acknowledged: through whom, that member's place among the able ones, the revision it made.
struct Write<'a> {
    one: &'a Seen<'a>,
    at: usize,
    revision: u64,
}

fn read_everywhere(
    write: &Write<'_>,
    able: &[&Seen<'_>],
    read: &[Result<Range, Trouble>],
    prefix: &str,
    unique: &str,
) -> Check {
    let one = write.one;
    let (key, value) = (base64(format!("{prefix}{}", one.name()).as_bytes()), base64(unique.as_bytes()));
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

/// RFC 4648 with padding, as Go's JSON writes bytes.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let index = (bits >> (18 - 6 * at)) & 63;
            text.push(if at > chunk.len() { '=' } else { char::from(ALPHABET[index as usize]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_rfc_4648() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (text, want) in cases {
            assert_eq!(base64(text.as_bytes()), want);
        }
    }
}
