//! The store's record of a release: `releases/3.5.16-amd64.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::EtcdProgram;
use super::json::Of;
use super::limits::Limits;
use crate::etcd::Release;
use crate::failure::{Failure, Result};
use crate::values::{Arch, Digest};

/// The only schema of a record that this version of Kiln writes and reads.
pub const SCHEMA: u32 = 1;

const OF: Of = Of("release");

/// A release for one architecture, as it was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRecord {
    /// [`SCHEMA`]; any other is refused.
    pub schema: u32,
    /// Part of the file's name.
    pub version: Release,
    /// Part of the file's name, too.
    pub arch: Arch,
    /// Without etcdutl before 3.5.
    pub binaries: BTreeMap<EtcdProgram, Binary>,
    /// The files that the programs were taken from: one tarball, or two packages.
    pub sources: Vec<Source>,
}

impl ReleaseRecord {
    /// The name of its file.
    pub fn file_name(release: Release, arch: Arch) -> String {
        format!("{release}-{arch}.json")
    }

    /// Pretty JSON with a newline at its end.
    ///
    /// # Errors
    /// `Exit::Io`, when it cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        OF.written(self)
    }

    /// # Errors
    /// `Exit::Untrusted` when it is not a whole record of this schema.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let record: ReleaseRecord = OF.read(bytes, SCHEMA)?;
        record.check()?;
        Ok(record)
    }

    /// A program that the release has but the record lacks.
    pub fn missing(&self) -> Option<EtcdProgram> {
        EtcdProgram::ALL
            .into_iter()
            .find(|program| program.is_part_of(self.version) && !self.binaries.contains_key(program))
    }

    fn check(&self) -> Result<()> {
        if let Some(program) = self.missing() {
            return Err(Failure::untrusted(format!(
                "it has no {program}; add the release again with --replace"
            )));
        }
        if self.sources.is_empty() || self.binaries.values().any(|b| b.size > Limits::RELEASE.program) {
            return Err(Failure::untrusted("it is inconsistent; add the release again with --replace"));
        }
        Ok(())
    }

    /// Whether both are the same programs, byte for byte.
    pub fn has_same_binaries(&self, other: &ReleaseRecord) -> bool {
        self.binaries == other.binaries
    }

    /// Whether both were taken from files with the same digests.
    pub fn has_same_sources(&self, other: &ReleaseRecord) -> bool {
        let digests = |record: &ReleaseRecord| -> BTreeSet<Digest> {
            record.sources.iter().map(|source| source.sha256).collect()
        };
        digests(self) == digests(other)
    }
}

/// A program in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binary {
    /// Its name in `blobs/`.
    pub sha256: Digest,
    /// In bytes.
    pub size: u64,
    /// The dynamic loader that it needs, and with it that system's C library; absent when it is static.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub interpreter: Option<String>,
}

/// A file that was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The file's name, without its directory.
    pub file: String,
    /// Of the file as it was given, compressed.
    pub sha256: Digest,
    /// In bytes.
    pub size: u64,
    /// Why it was accepted.
    pub trust: Trust,
}

/// Why a release file was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// Kiln's own list of the digests that etcd published.
    #[serde(rename = "catalogue")]
    Catalogue,
    /// A profile's `[etcd] sha256`.
    #[serde(rename = "profile")]
    Profile,
    /// `--allow-unverified`.
    #[serde(rename = "trusted by hand")]
    ByHand,
}

impl Trust {
    /// As the record and the bundle's manifest spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Trust::Catalogue => "catalogue",
            Trust::Profile => "profile",
            Trust::ByHand => "trusted by hand",
        }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> ReleaseRecord {
        let binary = Binary { sha256: Digest::of(b"x"), size: 1, interpreter: Some("/lib/ld.so".into()) };
        ReleaseRecord {
            schema: SCHEMA,
            version: Release::new(3, 5, 16),
            arch: Arch::Amd64,
            binaries: EtcdProgram::ALL.into_iter().map(|program| (program, binary.clone())).collect(),
            sources: vec![Source {
                file: "etcd.tar.gz".into(),
                sha256: Digest::of(b"y"),
                size: 2,
                trust: Trust::ByHand,
            }],
        }
    }

    #[test]
    fn a_record_comes_back() {
        let json = record().to_json().unwrap();
        assert_eq!(ReleaseRecord::from_json(&json).unwrap(), record());
        let text = String::from_utf8(json).unwrap();
        for part in ["\"version\": \"3.5.16\"", "\"etcdutl\": {", "\"trust\": \"trusted by hand\""] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn what_is_no_record_is_refused_with_the_way_out() {
        let good = String::from_utf8(record().to_json().unwrap()).unwrap();
        let cases = [
            (String::new(), "add the release again with --replace"),
            (good.replace("\"schema\": 1", "\"schema\": 2"), "this version of Kiln reads schema 1"),
            (good.replace("3.5.16", "3.5"), "three numbers"),
            (good.replace("amd64", "vax"), "use amd64"),
            (good.replace("etcdutl", "bash"), "add the release again with --replace"),
            (
                good.replace("\"size\": 1,", "\"size\": 1000000000000,"),
                "add the release again with --replace",
            ),
            (good.replace("trusted by hand", "trusted"), "add the release again with --replace"),
            (good.replace("\"file\"", "\"name\""), "add the release again with --replace"),
        ];
        for (text, want) in cases {
            let failure = ReleaseRecord::from_json(text.as_bytes()).unwrap_err();
            assert_eq!(failure.exit(), crate::failure::Exit::Untrusted);
            assert!(failure.to_string().contains(want), "{failure}");
        }
        let mut lacking = record();
        lacking.binaries.remove(&EtcdProgram::Etcdutl);
        assert!(ReleaseRecord::from_json(&lacking.to_json().unwrap()).is_err());
        lacking.version = Release::new(3, 4, 23);
        assert!(ReleaseRecord::from_json(&lacking.to_json().unwrap()).is_ok(), "3.4 has no etcdutl");
    }
}
