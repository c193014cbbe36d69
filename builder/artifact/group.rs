//! Release files -> releases: one tarball, or the two packages of one Debian build.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::control::Half;
use super::record::{ReleaseRecord, SCHEMA};
use super::release_file::{Part, ReleaseFile};
use crate::etcd::Release;
use crate::failure::{Failure, Result};
use crate::tree::Blob;
use crate::values::Arch;

/// A release that is complete and checked, but not yet in the store.
pub struct Draft {
    pub record: ReleaseRecord,
    pub blobs: Vec<Arc<Blob>>,
}

/// # Errors
/// `Exit::Untrusted` when a package's other half or a program is missing, or a release is a duplicate.
pub fn releases(files: Vec<ReleaseFile>) -> Result<Vec<Draft>> {
    let mut groups: BTreeMap<(Release, Arch), Vec<ReleaseFile>> = BTreeMap::new();
    for file in files {
        groups.entry((file.release, file.arch)).or_default().push(file);
    }
    groups
        .into_iter()
        .map(|((release, arch), files)| {
            check_parts(&files)?;
            draft(release, arch, files)
        })
        .collect()
}

fn check_parts(files: &[ReleaseFile]) -> Result<()> {
    match files {
        [ReleaseFile { part: Part::Whole, .. }] => {}
        [only @ ReleaseFile { part: Part::Half(half, version), .. }] => {
            return Err(Failure::untrusted(format!(
                "{} is one half of etcd {} for {}; add {} {version} in the same command",
                only.source.file,
                only.release,
                only.arch,
                half.other().package()
            )));
        }
        [
            ReleaseFile { part: Part::Half(first, one), .. },
            ReleaseFile { part: Part::Half(second, other), .. },
        ] if first != second => {
            if one != other {
                return Err(Failure::untrusted(format!(
                    "{} {one} and {} {other} are from different builds; add two files of the same build",
                    first.package(),
                    second.package()
                )));
            }
        }
        [first, second, ..] => {
            return Err(Failure::untrusted(format!(
                "{} and {} both contain etcd {} for {}; add one of them",
                first.source.file, second.source.file, first.release, first.arch
            )));
        }
        [] => {}
    }
    Ok(())
}

fn draft(version: Release, arch: Arch, mut files: Vec<ReleaseFile>) -> Result<Draft> {
    // The server first, whatever the order on the command line.
    files.sort_by_key(|file| file.part != Part::Whole && !matches!(file.part, Part::Half(Half::Server, _)));
    let names = files.iter().map(|file| file.source.file.as_str()).collect::<Vec<_>>().join(" and ");
    let mut record =
        ReleaseRecord { schema: SCHEMA, version, arch, binaries: BTreeMap::new(), sources: Vec::new() };
    let mut blobs = Vec::new();
    for file in files {
        for (program, checked) in file.programs {
            // etcdutl has moved between Debian's two packages, so each may bring any of the three.
            if record.binaries.insert(program, checked.describe()).is_some() {
                return Err(Failure::untrusted(format!("{names}: {program} is in both")));
            }
            blobs.push(checked.blob);
        }
        record.sources.push(file.source);
    }
    if let Some(program) = record.missing() {
        return Err(Failure::untrusted(format!(
            "{names}: {program} is missing, but etcd {version} has it; get the release again"
        )));
    }
    Ok(Draft { record, blobs })
}
