//! The files of a bundle, as its manifest lists them.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::layout::MANIFEST;
use super::manifest;
use crate::values::{Digest, GuestPath};

/// Files by their path in the bundle.
pub type Files = BTreeMap<GuestPath, manifest::File>;

/// The files below a directory.
pub fn below<'f>(
    files: &'f Files,
    directory: &str,
) -> impl Iterator<Item = (&'f GuestPath, &'f manifest::File)> + use<'f> {
    let beginning = format!("{directory}/");
    let from = (Bound::Included(beginning.as_str()), Bound::Unbounded);
    files.range::<str, _>(from).take_while(move |(path, _)| path.starts_with(&beginning))
}

/// The text of SHA256SUMS, sorted by path: of the manifest, and of the files in it.
pub fn sums(files: &Files, manifest: Digest) -> String {
    let line = |digest: Digest, path: &str| format!("{digest}  {path}\n");
    let (before, behind): (Vec<_>, Vec<_>) = files.iter().partition(|(path, _)| path.as_str() < MANIFEST);
    let of = |all: Vec<(&GuestPath, &manifest::File)>| -> String {
        all.iter().map(|(path, file)| line(file.sha256, path)).collect()
    };
    of(before) + &line(manifest, MANIFEST) + &of(behind)
}
