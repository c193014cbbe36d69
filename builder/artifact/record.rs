//! What the store writes down about a release: `releases/3.5.16-amd64.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Program;
use super::limits::Limits;
use crate::etcd::Release;
use crate::failure::{Failure, Result};
use crate::values::{Arch, Digest};

/// The only schema of a record that this Kiln writes and reads.
pub const SCHEMA: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub schema: u32,
    pub version: Release,
    pub arch: Arch,
    /// Without etcdutl before 3.5.
    pub binaries: BTreeMap<Program, Binary>,
    /// The files that they were taken from: one tarball, or two packages.
    pub sources: Vec<Source>,
}

impl Record {
    /// The name of its file.
    pub fn file_name(release: Release, arch: Arch) -> String {
        format!("{release}-{arch}.json")
    }

    /// Pretty JSON with a newline at its end.
    ///
    /// # Errors
    /// `Exit::Io`, when it cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let bytes = serde_json::to_vec_pretty(self);
        let mut bytes = bytes.map_err(|error| Failure::io(format!("writing a release's record: {error}")))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// # Errors
    /// `Exit::Untrusted` when it is not a whole record of this schema.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Schema {
            schema: u32,
        }
        let broken = |error| {
            Failure::untrusted(format!(
                "it is not the record of a release ({error}); add the release again with --replace"
            ))
        };
        let Schema { schema } = serde_json::from_slice(bytes).map_err(broken)?;
        if schema != SCHEMA {
            return Err(Failure::untrusted(format!(
                "record schema {schema} is not supported; this kiln reads schema {SCHEMA}"
            )));
        }
        let record: Record = serde_json::from_slice(bytes).map_err(broken)?;
        record.check()?;
        Ok(record)
    }

    /// A program that the release has and the record has not.
    pub fn missing(&self) -> Option<Program> {
        Program::ALL
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
            return Err(Failure::untrusted(
                "it says what no record does; add the release again with --replace",
            ));
        }
        Ok(())
    }

    /// Whether both are the same programs, byte for byte.
    pub fn has_same_binaries(&self, other: &Record) -> bool {
        self.binaries == other.binaries
    }

    pub fn has_same_sources(&self, other: &Record) -> bool {
        let digests = |record: &Record| -> BTreeSet<Digest> {
            record.sources.iter().map(|source| source.sha256).collect()
        };
        digests(self) == digests(other)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binary {
    pub sha256: Digest,
    /// In bytes.
    pub size: u64,
    /// The dynamic loader that it asks for, and with it that system's C library; absent when it is static.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub interpreter: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The file's name, without where it lay.
    pub file: String,
    pub sha256: Digest,
    /// In bytes.
    pub size: u64,
    pub trust: Trust,
}

/// Why a release file was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// Kiln's own list of the digests that etcd published.
    #[serde(rename = "catalogue")]
    Catalogue,
    /// A profile's `[etcd] sha256`.
    #[serde(rename = "profile")]
    Profile,
    /// `--trust`.
    #[serde(rename = "trusted by hand")]
    ByHand,
}

impl Trust {
    /// As the record and the bundle's manifest say it.
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

    fn record() -> Record {
        let binary = Binary { sha256: Digest::of(b"x"), size: 1, interpreter: Some("/lib/ld.so".into()) };
        Record {
            schema: SCHEMA,
            version: Release::new(3, 5, 16),
            arch: Arch::Amd64,
            binaries: Program::ALL.into_iter().map(|program| (program, binary.clone())).collect(),
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
        assert_eq!(Record::from_json(&json).unwrap(), record());
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
            (good.replace("\"schema\": 1", "\"schema\": 2"), "this kiln reads schema 1"),
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
            let failure = Record::from_json(text.as_bytes()).unwrap_err();
            assert_eq!(failure.exit(), crate::failure::Exit::Untrusted);
            assert!(failure.to_string().contains(want), "{failure}");
        }
        let mut lacking = record();
        lacking.binaries.remove(&Program::Etcdutl);
        assert!(Record::from_json(&lacking.to_json().unwrap()).is_err());
        lacking.version = Release::new(3, 4, 23);
        assert!(Record::from_json(&lacking.to_json().unwrap()).is_ok(), "3.4 has no etcdutl");
    }
}
