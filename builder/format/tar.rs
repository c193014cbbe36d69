//! A tree as a GNU tar archive.
//!
//! It lists exactly the entries of the tree and no other parent directories: unpacked by hand with `tar -xpzf … -C /`
//! on a running host, a listed `/etc` or `/usr/local` would get Kiln's mode, owner and date. tar creates missing
//! parents itself.

use ::tar::{EntryType, Header};

use super::{Archive, Joiner, check_target};
use crate::failure::{Doing, Result};
use crate::tree::{Content, Kind, Tree};
use crate::values::{Epoch, GuestPath};

/// tar's unit (POSIX.1-2024, pax, "ustar Interchange Format").
const BLOCK: u64 = 512;

/// GNU tar writes and reads twenty blocks at once, and mentions a last record that is shorter when it reads
/// from a pipe or a tape.
/// Part of the format: changing it changes the digest of every bundle.
const RECORD: u64 = 20 * BLOCK;

/// The size of a header's name and link name; all of it may be used, without a NUL (tar(5), GNU tar archives).
const NAME: usize = 100;

/// The archive, uncompressed; everything belongs to root (0:0) and has the time `epoch`.
///
/// Paths longer than 100 bytes are written as GNU long names, which GNU tar, bsdtar and busybox read; busybox does not
/// support `path` in a pax header.
///
/// # Errors
/// `Exit::Unsafe` for a link whose target no system follows.
pub fn tar(tree: &Tree, epoch: Epoch) -> Result<Archive> {
    let mut archive = Joiner::default();
    for (path, entry) in tree.iter() {
        let (kind, size, name, target) = match &entry.kind {
            Kind::Directory => (EntryType::Directory, 0, format!("{path}/"), ""),
            Kind::File(content) => (EntryType::Regular, content.len(), path.to_string(), ""),
            Kind::Link(target) => {
                check_target(path, target)?;
                (EntryType::Symlink, 0, path.to_string(), target.as_str())
            }
        };
        long_name(&mut archive, EntryType::GNULongLink, target, path)?;
        long_name(&mut archive, EntryType::GNULongName, &name, path)?;
        let mut header = blank(kind, path)?;
        header.set_mode(entry.mode.bits());
        header.set_mtime(epoch.seconds());
        header.set_size(size);
        // Written as bytes: the crate's own setter would take the path apart and drop components that it considers
        // odd.
        put(&mut header.as_old_mut().name, name.as_bytes());
        put(&mut header.as_old_mut().linkname, target.as_bytes());
        seal(&mut archive, &mut header);
        if let Kind::File(content) = &entry.kind {
            archive.content(content);
            archive.pad(BLOCK);
        }
    }
    archive.bytes(&[0; 2 * BLOCK as usize]);
    archive.pad(RECORD);
    Ok(archive.finish())
}

/// A pseudo entry with a name that is too long for the header of the entry after it.
fn long_name(archive: &mut Joiner<Content>, kind: EntryType, name: &str, path: &GuestPath) -> Result<()> {
    if name.len() <= NAME {
        return Ok(());
    }
    let mut header = blank(kind, path)?;
    header.set_mode(0o644);
    header.set_size(name.len() as u64 + 1);
    put(&mut header.as_old_mut().name, b"././@LongLink");
    seal(archive, &mut header);
    archive.bytes(name.as_bytes());
    archive.bytes(&[0]);
    archive.pad(BLOCK);
    Ok(())
}

fn blank(kind: EntryType, path: &GuestPath) -> Result<Header> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_uid(0);
    header.set_gid(0);
    header
        .set_username("root")
        .and_then(|()| header.set_groupname("root"))
        .doing(|| format!("writing the tar header of {path}"))?;
    Ok(header)
}

/// The part of `value` that fits; the whole is in a long name before it, which overrides the field.
fn put(field: &mut [u8], value: &[u8]) {
    for (to, from) in field.iter_mut().zip(value) {
        *to = *from;
    }
}

fn seal(archive: &mut Joiner<Content>, header: &mut Header) {
    header.set_cksum();
    archive.bytes(header.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::plain_length;
    use super::super::samples::{blob, epoch, plain, sample, tree};
    use super::*;
    use crate::tree::Entry;
    use crate::values::{Digest, Mode};

    /// The fields of the n-th block as text.
    fn field(bytes: &[u8], block: usize, at: usize, len: usize) -> String {
        let start = block * 512 + at;
        String::from_utf8_lossy(&bytes[start..start + len]).trim_end_matches('\0').to_owned()
    }

    #[test]
    fn headers_say_exactly_what_the_tree_says() {
        let bytes =
            plain(&tar(&tree([("etc/key", Entry::file(vec![7; 513], Mode::SECRET, "t"))]), epoch()).unwrap());
        let want = [
            (0, 100, "etc/key"),
            (100, 8, "0000600"),
            (108, 8, "0000000"),
            (116, 8, "0000000"),
            (124, 12, "00000001001"),
            (136, 12, "15300157400"),
            (156, 1, "0"),
            (257, 8, "ustar  "),
            (265, 32, "root"),
            (297, 32, "root"),
        ];
        for (at, len, want) in want {
            assert_eq!(field(&bytes, 0, at, len), want, "at {at}");
        }
        assert_eq!(bytes.len(), 10240);
        assert!(bytes[512 + 513..].iter().all(|b| *b == 0), "padding and the end are zeros");
    }

    #[test]
    fn an_empty_tree_is_one_record_of_zeros() {
        assert_eq!(plain(&tar(&Tree::default(), epoch()).unwrap()), vec![0; 10240]);
    }

    #[test]
    fn no_parent_is_listed() {
        let bytes = plain(
            &tar(&tree([("usr/local/bin/etcd", Entry::file(vec![], Mode::PROGRAM, "t"))]), epoch()).unwrap(),
        );
        assert_eq!(field(&bytes, 0, 0, 100), "usr/local/bin/etcd");
        assert_eq!(field(&bytes, 1, 0, 100), "");
    }

    #[test]
    fn only_names_past_a_hundred_bytes_get_an_entry_of_their_own() {
        for (length, long) in [(99, false), (100, false), (101, true), (255, true)] {
            let name = "n".repeat(length);
            let files = tree([(name.as_str(), Entry::file(vec![], Mode::FILE, "t"))]);
            let bytes = plain(&tar(&files, epoch()).unwrap());
            assert_eq!(field(&bytes, 0, 156, 1) == "L", long, "{length}");
            let links = tree([("l", Entry::link(name, "t"))]);
            let bytes = plain(&tar(&links, epoch()).unwrap());
            assert_eq!(field(&bytes, 0, 156, 1) == "K", long, "{length}");
        }
    }

    #[test]
    fn shared_content_is_not_copied() {
        let stream = tar(&tree([("a", Entry::shared(blob(100_000), Mode::FILE, "t"))]), epoch()).unwrap();
        assert!(matches!(&stream[..], [Content::Own(_), Content::Shared(_), Content::Own(_)]));
        assert_eq!(plain_length(&stream) % RECORD, 0);
    }

    #[test]
    fn links_that_lead_nowhere_are_refused() {
        for target in [String::new(), "a\0b".into(), "x".repeat(4096)] {
            assert!(tar(&tree([("l", Entry::link(target, "t"))]), epoch()).is_err());
        }
    }

    /// A digest here guards the format: when it changes on purpose, every bundle's digest changes too.
    #[test]
    fn the_format_stays_as_it_is() {
        let digest = Digest::of(&plain(&tar(&sample(), epoch()).unwrap()));
        assert_eq!(digest.to_string(), "5aa9f61f89d349af4d614c745aa6eac511a0b64f1b1719c632bd9388b51f6c27");
    }
}
