//! The store's record of a `kiln-node`: `node/0.1.0-amd64.json`.

use std::io::Read;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::json::Of;
use super::limits::Gauge;
use super::node::{self, MAX_NODE_BYTES, NodeKind};
use super::record::Source;
use crate::failure::{Failure, Result};
use crate::tree::Blob;
use crate::values::{Arch, Version};

/// The only schema of such a record that this version of Kiln writes and reads.
pub const NODE_SCHEMA: u32 = 1;

const OF: Of = Of("program");

/// A `kiln-node` for one architecture, as it was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRecord {
    /// `NODE_SCHEMA`; any other is refused.
    pub schema: u32,
    /// Part of the file's name.
    pub version: Version,
    /// Part of the file's name, too.
    pub arch: Arch,
    /// The file, which is the program itself: its digest is its name in `blobs/`.
    pub source: Source,
}

impl NodeRecord {
    /// The name of its file.
    pub fn file_name(version: &Version, arch: Arch) -> String {
        format!("{version}-{arch}.json")
    }

    /// The other way round; `None` for a file that is no record.
    pub fn named(file: &str) -> Option<(Version, Arch)> {
        let (version, arch) = file.strip_suffix(".json")?.rsplit_once('-')?;
        Some((version.parse().ok()?, arch.parse().ok()?))
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
        let record: NodeRecord = OF.read(bytes, NODE_SCHEMA)?;
        if record.source.size > MAX_NODE_BYTES {
            return Err(Failure::untrusted("it is inconsistent; add the program again with --replace"));
        }
        Ok(record)
    }
}

/// A `kiln-node` that is checked, but not yet in the store.
pub struct NodeDraft {
    pub record: NodeRecord,
    pub blob: Arc<Blob>,
}

/// Reads a program and checks that it is a `kiln-node` for nodes of this Kiln.
///
/// # Errors
/// `Exit::Untrusted` for everything that is wrong with it; `Exit::Io`.
pub fn read(program: &mut impl Read, gauge: &Gauge<'_>) -> Result<(NodeKind, Arc<Blob>)> {
    let mut bytes = Vec::new();
    Read::take(program, MAX_NODE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| gauge.explain(error))?;
    if bytes.len() as u64 > MAX_NODE_BYTES {
        return Err(Failure::untrusted(format!(
            "it is a program of more than {MAX_NODE_BYTES} bytes; no kiln-node has that many, and etcd is imported as its \
             release tarball (.tar.gz), or as the Debian packages etcd-server and etcd-client"
        )));
    }
    let kind = node::examine(&bytes)?;
    node::refuse_other_version(&kind)?;
    Ok((kind, Arc::new(Blob::new(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Trust;
    use crate::values::Digest;

    fn record() -> NodeRecord {
        let source = Source {
            file: "kiln-node-amd64".into(),
            sha256: Digest::of(b"x"),
            size: 2,
            trust: Trust::ByHand,
        };
        NodeRecord { schema: NODE_SCHEMA, version: Version::own(), arch: Arch::Amd64, source }
    }

    #[test]
    fn a_record_comes_back_and_so_does_its_name() {
        let json = record().to_json().unwrap();
        assert_eq!(NodeRecord::from_json(&json).unwrap(), record());
        let version: Version = "0.2.0-rc.1".parse().unwrap();
        let name = NodeRecord::file_name(&version, Arch::S390x);
        assert_eq!(NodeRecord::named(&name), Some((version, Arch::S390x)));
        for bad in ["0.1.0-vax.json", "amd64.json", "../1-amd64.json", "0.1.0-amd64"] {
            assert_eq!(NodeRecord::named(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_record_is_refused_with_the_way_out() {
        let good = String::from_utf8(record().to_json().unwrap()).unwrap();
        let again = "add the program again with --replace";
        let cases = [
            (String::new(), again),
            (good.replace("\"schema\": 1", "\"schema\": 2"), "this version of Kiln reads schema 1"),
            (good.replace("\"version\": \"0", "\"version\": \"../0"), again),
            (good.replace("amd64\",\n  \"source", "vax\",\n  \"source"), again),
            (good.replace("\"size\": 2", "\"size\": 1000000000"), again),
            (good.replace("trusted by hand", "trusted"), again),
            (good.replace("\"source\"", "\"sources\""), again),
        ];
        for (text, want) in cases {
            assert_ne!(text, good);
            let failure = NodeRecord::from_json(text.as_bytes()).unwrap_err();
            assert_eq!(failure.exit(), crate::failure::Exit::Untrusted);
            assert!(failure.to_string().contains(want), "{failure}");
        }
    }
}
