//! Writing through each member, reading it at all others, and taking it away again.

use super::causes::Fault;
use super::checks::SILENT;
use super::etcdctl::{Etcdctl, Range, Trouble, Written};
use super::look::Seen;
use super::report::Check;
use crate::bundle::Manifest;

/// Every key that verify ever writes begins with this.
const PREFIX: &str = "kiln/verify/";

/// A row per member that was written through, and one for the clearing up.
pub fn check(manifest: &Manifest, seen: &[Seen<'_>], etcdctl: &Etcdctl, unique: &str) -> Vec<Check> {
    let prefix = format!("{PREFIX}{unique}/");
    let able: Vec<_> = seen.iter().filter(|one| reason_against(manifest, one).is_none()).collect();
    let put = super::each(&able, |one| {
        etcdctl.ask::<Written>(&one.endpoint, &["put", &format!("{prefix}{}", one.name()), unique])
    });
    let read = super::each(&able, |one| etcdctl.ask::<Range>(&one.endpoint, &["get", "--prefix", &prefix]));
    // Whatever came of it: nothing that was written stays.
    let cleared = clear(&able, etcdctl, &prefix);

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
        _ if able.is_empty() => Check::skipped(CLEARED, None, "nothing was written"),
        Ok(()) => Check::ok(CLEARED, None, "the test keys are gone"),
        Err(trouble) => Check::failed(
            CLEARED,
            None,
            trouble.fault,
            format!("{prefix} is left; delete it with `etcdctl del --prefix {prefix}`: {}", trouble.said),
        ),
    });
    checks
}

const READ: &str = "a write is read at all others";
const CLEARED: &str = "test keys deleted";

/// Why nothing is written through a member.
fn reason_against(manifest: &Manifest, one: &Seen<'_>) -> Option<&'static str> {
    match (&one.status, &one.health) {
        (Err(_), _) => Some(SILENT),
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
    Check::ok(READ, Some(one.name()), format!("revision {}, by {readers}", write.revision))
}

/// Deletes the keys through the first member that does it.
fn clear(able: &[&Seen<'_>], etcdctl: &Etcdctl, prefix: &str) -> Result<(), Trouble> {
    let mut last = Ok(());
    for one in able {
        match etcdctl.clear_up::<Written>(&one.endpoint, &["del", "--prefix", prefix]) {
            Ok(_) => return Ok(()),
            Err(trouble) => last = Err(trouble),
        }
    }
    last
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
