//! The digests of etcd's own release tarballs that are built into this version of Kiln.

use crate::etcd::Release;
use crate::values::{Arch, Digest};

const TEXT: &str = include_str!("catalogue.txt");

/// A release tarball whose digest is known.
pub struct KnownRelease {
    pub release: Release,
    pub arch: Arch,
    /// The name that upstream gives it.
    pub file: &'static str,
    pub sha256: Digest,
}

/// Every tarball whose digest is known, oldest release first.
pub fn known() -> impl Iterator<Item = KnownRelease> {
    TEXT.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (sha256, file) = line.split_once("  ")?;
        let (release, arch) = release_named(file)?;
        Some(KnownRelease { release, arch, file, sha256: sha256.parse().ok()? })
    })
}

/// The release that has this digest.
pub fn release_of(digest: Digest) -> Option<(Release, Arch)> {
    known().find(|known| known.sha256 == digest).map(|known| (known.release, known.arch))
}

pub fn digest_of(release: Release, arch: Arch) -> Option<Digest> {
    known().find(|known| (known.release, known.arch) == (release, arch)).map(|known| known.sha256)
}

/// The oldest and the newest release in the catalogue.
pub fn span() -> Option<(Release, Release)> {
    let releases = || known().map(|known| known.release);
    Some((releases().min()?, releases().max()?))
}

/// `etcd-v3.5.16-linux-amd64.tar.gz` as upstream names its files.
pub fn release_named(file: &str) -> Option<(Release, Arch)> {
    release_in(file.strip_suffix(".tar.gz")?)
}

/// `etcd-v3.5.16-linux-amd64`, the top directory of such a file.
pub fn release_in(directory: &str) -> Option<(Release, Arch)> {
    let (release, arch) = directory.strip_prefix("etcd-v")?.split_once("-linux-")?;
    Some((release.parse().ok()?, arch.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_an_entry_and_no_digest_is_there_twice() {
        let lines = TEXT.lines().filter(|line| !line.starts_with('#')).count();
        let digests: std::collections::BTreeSet<_> = known().map(|known| known.sha256).collect();
        assert!(lines > 100);
        assert_eq!((lines, known().count()), (digests.len(), digests.len()));
        assert!(span().is_some_and(|(oldest, newest)| oldest < newest));
        assert!(known().is_sorted_by_key(|known| known.release));
    }

    #[test]
    fn a_digest_and_a_release_lead_to_each_other() {
        for KnownRelease { release, arch, sha256: digest, .. } in known() {
            assert_eq!(release_of(digest), Some((release, arch)));
            assert_eq!(digest_of(release, arch), Some(digest));
        }
        assert_eq!(release_of(Digest::of(b"")), None);
        assert_eq!(digest_of(Release::new(3, 5, 999), Arch::Amd64), None);
    }

    #[test]
    fn names_are_upstreams() {
        let want = Some((Release::new(3, 5, 16), Arch::Arm64));
        assert_eq!(release_named("etcd-v3.5.16-linux-arm64.tar.gz"), want);
        for other in [
            "etcd-v3.5.16-linux-arm64",
            "etcd-v3.5.16-darwin-arm64.tar.gz",
            "etcd-v3.6.0-rc.0-linux-amd64.tar.gz",
            "etcd-3.5.16-linux-amd64.tar.gz",
            "etcd-v3.5.16-linux-riscv64.tar.gz",
        ] {
            assert_eq!(release_named(other), None, "{other}");
        }
    }
}
