//! The digests of etcd's own release tarballs that this Kiln knows.

use crate::etcd::Release;
use crate::values::{Arch, Digest};

const TEXT: &str = include_str!("catalogue.txt");

/// Every entry, oldest release first.
fn entries() -> impl Iterator<Item = (Digest, Release, Arch)> {
    TEXT.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (digest, name) = line.split_once("  ")?;
        let (release, arch) = release_named(name)?;
        Some((digest.parse().ok()?, release, arch))
    })
}

/// The release that a file with this digest is.
pub fn release_of(digest: Digest) -> Option<(Release, Arch)> {
    entries().find(|(known, ..)| *known == digest).map(|(_, release, arch)| (release, arch))
}

pub fn digest_of(release: Release, arch: Arch) -> Option<Digest> {
    entries().find(|(_, r, a)| (*r, *a) == (release, arch)).map(|(digest, ..)| digest)
}

/// The oldest and the newest release in it.
pub fn span() -> Option<(Release, Release)> {
    let releases = || entries().map(|(_, release, _)| release);
    Some((releases().min()?, releases().max()?))
}

/// `etcd-v3.5.16-linux-amd64.tar.gz` as upstream names its files.
pub fn release_named(file: &str) -> Option<(Release, Arch)> {
    release_in(file.strip_suffix(".tar.gz")?)
}

/// `etcd-v3.5.16-linux-amd64`, the directory that everything in such a file lies in.
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
        let digests: std::collections::BTreeSet<_> = entries().map(|(digest, ..)| digest).collect();
        assert!(lines > 100);
        assert_eq!((lines, entries().count()), (digests.len(), digests.len()));
        assert!(span().is_some_and(|(oldest, newest)| oldest < newest));
    }

    #[test]
    fn a_digest_and_a_release_lead_to_each_other() {
        for (digest, release, arch) in entries() {
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
