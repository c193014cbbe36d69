//! A tree as a cpio archive of the kind that Linux unpacks as its initramfs: `newc`
//! (kernel documentation, driver-api/early-userspace/buffer-format).
//!
//! The header is written here and not by the `cpio` crate, whose writer needs the content in the same buffer and
//! accepts a content that is too short; the crate reads the archives back (`read`).

use super::{Archive, Joiner, check_target};
use crate::failure::{Exit, Failure, Result};
use crate::tree::{Content, Kind, Tree};
use crate::values::Epoch;

/// The name of the entry that ends an archive.
pub(super) const TRAILER: &str = "TRAILER!!!";

/// File types of a mode (inode(7)).
pub(super) const DIRECTORY: u32 = 0o040_000;
pub(super) const FILE: u32 = 0o100_000;
pub(super) const LINK: u32 = 0o120_000;

/// Names, contents and headers begin at multiples of four.
const UNIT: u64 = 4;

/// GNU cpio pads an archive to this unit.
/// Part of the format: changing it changes the digest of every bundle.
const BLOCK: u64 = 512;

/// The archive, uncompressed, with every parent directory listed; everything belongs to root (0:0) and has the time
/// `epoch`. Its length is a multiple of 512, so that an uncompressed archive may follow.
///
/// # Errors
/// `Exit::Unsafe` for what the format cannot represent: a file of 4 GiB or more, a file with the trailer's name, a
/// link without a target. `Exit::Profile` for an epoch after 2106-02-07, the end of 32-bit times.
pub fn cpio(tree: &Tree, epoch: Epoch) -> Result<Archive> {
    let mtime = u32::try_from(epoch.seconds()).map_err(|_| {
        Failure::new(
            Exit::Profile,
            format!("the epoch {epoch} does not fit into an initramfs, whose dates end in 2106; choose an earlier one"),
        )
    })?;
    let mut archive = Joiner::default();
    let all = tree.with_parents();
    for ((path, entry), inode) in all.iter().zip(1..) {
        let (kind, size, links) = match &entry.kind {
            Kind::Directory => (DIRECTORY, 0, 2),
            Kind::File(content) => (FILE, content.len(), 1),
            Kind::Link(target) => {
                check_target(path, target)?;
                (LINK, target.len() as u64, 1)
            }
        };
        if path.as_str() == TRAILER {
            return Err(Failure::unsafe_to(format!(
                "{path} from {} would end the initramfs; give it another name",
                entry.origin
            )));
        }
        let size = field_size(path.as_str(), size)?;
        header(&mut archive, path.as_str(), inode, kind | entry.mode.bits(), links, mtime, size);
        match &entry.kind {
            Kind::Directory => {}
            Kind::File(content) => archive.content(content),
            Kind::Link(target) => archive.bytes(target.as_bytes()),
        }
        archive.pad(UNIT);
    }
    header(&mut archive, TRAILER, 0, 0, 1, 0, 0);
    archive.pad(BLOCK);
    Ok(archive.finish())
}

fn field_size(path: &str, size: u64) -> Result<u32> {
    u32::try_from(size).map_err(|_| {
        Failure::unsafe_to(format!(
            "{path} has 4 GiB or more, which an initramfs cannot hold; copy it to the node in another way"
        ))
    })
}

/// Thirteen numbers of eight hex digits after the magic number, then the name with its NUL, then padding.
fn header(
    archive: &mut Joiner<Content>,
    name: &str,
    inode: u32,
    mode: u32,
    links: u32,
    mtime: u32,
    size: u32,
) {
    // All device numbers are 0: that of the file system, and that of device nodes, of which there are none.
    let (owner, device, checksum) = (0, 0, 0);
    let name_size = name.len() as u32 + 1;
    let numbers =
        [inode, mode, owner, owner, links, mtime, size, device, device, device, device, name_size, checksum];
    let digits: String = numbers.iter().map(|number| format!("{number:08X}")).collect();
    archive.bytes(format!("070701{digits}{name}\0").as_bytes());
    archive.pad(UNIT);
}

#[cfg(test)]
mod tests {
    use super::super::samples::{blob, epoch, plain, sample, tree};
    use super::*;
    use crate::tree::Entry;
    use crate::values::{Digest, Mode};

    /// Every entry as the `cpio` crate sees it: inode, mode, links, name and size.
    fn entries(bytes: &[u8]) -> Vec<(u32, u32, u32, String, u32)> {
        let mut rest = bytes;
        let mut all = Vec::new();
        loop {
            let reader = ::cpio::NewcReader::new(rest).unwrap();
            let entry = reader.entry();
            assert_eq!((entry.uid(), entry.gid()), (0, 0));
            all.push((entry.ino(), entry.mode(), entry.nlink(), entry.name().to_owned(), entry.file_size()));
            if entry.is_trailer() {
                return all;
            }
            assert_eq!(u64::from(entry.mtime()), epoch().seconds());
            rest = reader.finish().unwrap();
        }
    }

    #[test]
    fn parents_are_listed_before_what_is_in_them() {
        let tree = tree([
            ("etc/a", Entry::file(b"12345".to_vec(), Mode::SECRET, "t")),
            ("etc/b", Entry::link("a", "t")),
        ]);
        let bytes = plain(&cpio(&tree, epoch()).unwrap());
        assert_eq!(
            entries(&bytes),
            [
                (1, 0o040755, 2, "etc".into(), 0),
                (2, 0o100600, 1, "etc/a".into(), 5),
                (3, 0o120777, 1, "etc/b".into(), 1),
                (0, 0, 1, TRAILER.into(), 0),
            ]
        );
        assert_eq!(bytes.len() % 512, 0);
    }

    #[test]
    fn an_empty_tree_is_a_trailer() {
        let bytes = plain(&cpio(&Tree::default(), epoch()).unwrap());
        assert_eq!(entries(&bytes), [(0, 0, 1, TRAILER.into(), 0)]);
        assert_eq!(bytes.len(), 512);
    }

    #[test]
    fn shared_content_is_not_copied() {
        let stream = cpio(&tree([("a", Entry::shared(blob(70_001), Mode::FILE, "t"))]), epoch()).unwrap();
        assert!(matches!(&stream[..], [Content::Own(_), Content::Shared(_), Content::Own(_)]));
        assert_eq!(entries(&plain(&stream))[0].4, 70_001);
    }

    #[test]
    fn what_has_no_room_is_refused() {
        assert_eq!(field_size("a", u64::from(u32::MAX)).unwrap(), u32::MAX);
        let error = field_size("var/big", 1 << 32).unwrap_err();
        assert_eq!(error.exit(), Exit::Unsafe);
        assert!(error.to_string().contains("var/big"), "{error}");

        let trailer = tree([(TRAILER, Entry::file(vec![], Mode::FILE, "overlay \"x\""))]);
        assert!(cpio(&trailer, epoch()).is_err_and(|e| e.to_string().contains("overlay \"x\"")));
        assert!(cpio(&tree([("l", Entry::link("", "t"))]), epoch()).is_err());

        let late = Epoch::from_seconds(1 << 32).unwrap();
        assert!(cpio(&Tree::default(), late).is_err_and(|e| e.exit() == Exit::Profile));
        assert!(cpio(&Tree::default(), Epoch::from_seconds((1 << 32) - 1).unwrap()).is_ok());
    }

    /// A digest here guards the format: when it changes on purpose, every bundle's digest changes too.
    #[test]
    fn the_format_stays_as_it_is() {
        let digest = Digest::of(&plain(&cpio(&sample(), epoch()).unwrap()));
        assert_eq!(digest.to_string(), "cf9754b7677fbd7f5f8f08c72c83d46be9cede141b8eba1e7d9139cdb74220c8");
    }
}
