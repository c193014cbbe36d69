//! The baked `etcdctl`: taking it out of the bundle, calling it, and the shapes of its JSON.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::bundle::{Manifest, manifest};
use crate::causes::Fault;
use crate::disk::{self, Input};
use crate::failure::{Doing, Failure, Result};
use crate::format::read::Archive;
use crate::process::{self, Program};
use crate::values::{Arch, Digest, Mode};

/// etcdctl itself is some 20 MB; nothing near this has ever been released.
const PROGRAM_LIMIT: u64 = 256 << 20;

/// What etcdctl takes to connect, and for a whole command. An answer on a local network takes milliseconds.
const DIAL_TIMEOUT: &str = "--dial-timeout=2s";
const COMMAND_TIMEOUT: &str = "--command-timeout=3s";

/// After that etcdctl is killed: it has missed its own deadlines.
const DEADLINE: Duration = Duration::from_secs(8);

/// Writes the bundle's etcdctl into `scratch`, executable, after checking its digest.
///
/// # Errors
/// `Exit::Wrong` when the bundle does not hold it; `Exit::Untrusted` when it is not what the manifest says.
pub fn baked_etcdctl(bundle: &Path, manifest: &Manifest, scratch: &Path) -> Result<PathBuf> {
    let binary = manifest
        .etcd
        .binaries
        .get(&manifest::Program::Etcdctl)
        .ok_or_else(|| Failure::wrong("the bundle has no etcdctl; build it again with one"))?;
    let archive = if manifest.shares_binaries() {
        bundle.join("layers/etcd.tar.gz")
    } else {
        let first = manifest.nodes.first().ok_or_else(|| Failure::wrong("the bundle has no node"))?;
        bundle.join("nodes").join(first.name.as_str()).join("overlay.tar.gz")
    };
    let taking = || format!("taking {} out of {}", binary.path, archive.display());
    let bytes = take_out(&archive, &binary.path).doing(taking)?;
    let digest = Digest::of(&bytes);
    if digest != binary.sha256 {
        return Err(Failure::untrusted(format!(
            "its SHA-256 is {digest} and the manifest says {}; the bundle was changed, build it again",
            binary.sha256
        ))
        .while_doing(taking()));
    }
    let path = scratch.join("etcdctl");
    disk::write_whole(&path, &bytes, Mode::PROGRAM)?;
    Ok(path)
}

fn take_out(archive: &Path, path: &str) -> Result<Vec<u8>> {
    let found = Archive::TarGz.file(Input::open(archive)?, path, PROGRAM_LIMIT)?;
    found.ok_or_else(|| Failure::wrong("it is not in there; build the bundle again"))
}

/// Why a question got no answer.
#[derive(Clone, Debug)]
pub struct Trouble {
    pub fault: Fault,
    /// What was said, on one line.
    pub said: String,
}

/// An etcdctl with the bundle's client certificate.
pub struct Etcdctl {
    program: PathBuf,
    client: PathBuf,
    /// When it is not the baked one: why.
    pub note: Option<String>,
}

impl Etcdctl {
    /// # Errors
    /// As [`baked_etcdctl`]; for a foreign architecture `Exit::Io` when there is no etcdctl on PATH either.
    pub fn new(bundle: &Path, manifest: &Manifest, scratch: &Path) -> Result<Self> {
        let client = bundle.join("client");
        let here = std::env::consts::ARCH;
        if Some(manifest.etcd.arch) == Arch::host() {
            return Ok(Self { program: baked_etcdctl(bundle, manifest, scratch)?, client, note: None });
        }
        let program = process::find("etcdctl")?;
        let note = format!(
            "the bundle's etcdctl is for {} and this machine is {here}, so {} asked in its place",
            manifest.etcd.arch,
            program.display()
        );
        Ok(Self { program, client, note: Some(note) })
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    fn call(&self, endpoints: &str, arguments: &[&str]) -> Program {
        Program::new(&self.program)
            .args(["--endpoints", endpoints])
            .args([DIAL_TIMEOUT, COMMAND_TIMEOUT, "--write-out=json"])
            .arg("--cacert")
            .arg(self.client.join("ca.pem"))
            .arg("--cert")
            .arg(self.client.join("etcdctl.pem"))
            .arg("--key")
            .arg(self.client.join("etcdctl-key.pem"))
            .args(arguments)
            .within(DEADLINE)
    }

    /// Asks one endpoint and reads the JSON it answers.
    pub fn ask<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        arguments: &[&str],
    ) -> std::result::Result<T, Trouble> {
        self.finish(self.call(endpoint, arguments))
    }

    /// The same for clearing up, which Ctrl-C does not stop.
    pub fn clear_up<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        arguments: &[&str],
    ) -> std::result::Result<T, Trouble> {
        self.finish(self.call(endpoint, arguments).through_interrupt())
    }

    /// The endpoint of the member that says that it leads.
    pub fn leader(&self, endpoints: &[String]) -> Option<String> {
        let leads = |endpoint: &&String| {
            let rows: Vec<StatusRow> = self.ask(endpoint, &["endpoint", "status"]).unwrap_or_default();
            rows.iter().any(|row| row.status.leader != 0 && row.status.leader == row.status.header.member_id)
        };
        endpoints.iter().find(leads).cloned()
    }

    /// Whether every one of these endpoints commits a proposal.
    ///
    /// # Errors
    /// `Exit::Interrupted`, or `Exit::Io` when etcdctl does not run.
    pub fn all_healthy(&self, endpoints: &[String]) -> Result<bool> {
        Ok(self.call(&endpoints.join(","), &["endpoint", "health"]).run()?.success())
    }

    /// Whether one endpoint commits a proposal and has no alarm. etcdctl writes its JSON here though it exits 1.
    pub fn health(&self, endpoint: &str) -> std::result::Result<(), Trouble> {
        let program = self.call(endpoint, &["endpoint", "health"]);
        let finished =
            program.run().map_err(|failure| Trouble { fault: Fault::Program, said: failure.to_string() })?;
        let rows: Vec<HealthRow> = serde_json::from_slice(&finished.stdout).unwrap_or_default();
        match rows.into_iter().next() {
            Some(row) if row.health => Ok(()),
            Some(row) if !row.error.is_empty() => {
                Err(Trouble { fault: Fault::named_in(&row.error), said: row.error.trim().to_owned() })
            }
            _ => {
                let text = finished.stderr_text();
                Err(Trouble { fault: Fault::named_in(&text), said: gist(&text) })
            }
        }
    }

    fn finish<T: DeserializeOwned>(&self, program: Program) -> std::result::Result<T, Trouble> {
        let finished =
            program.run().map_err(|failure| Trouble { fault: Fault::Program, said: failure.to_string() })?;
        if !finished.success() {
            let text = finished.stderr_text();
            let fault = match Fault::named_in(&text) {
                Fault::Unknown if finished.ended == process::Ended::Deadline => Fault::Waiting,
                fault => fault,
            };
            return Err(Trouble { fault, said: gist(&text) });
        }
        serde_json::from_slice(&finished.stdout).map_err(|error| Trouble {
            fault: Fault::Program,
            said: format!("etcdctl answered something that is not the expected JSON: {error}"),
        })
    }
}

/// The telling part of what etcdctl wrote to its standard error: the `error` of its last JSON log line that has
/// one, or else its last line.
fn gist(stderr: &str) -> String {
    #[derive(Deserialize)]
    struct Line {
        error: String,
    }
    let logged = stderr.lines().rev().find_map(|line| serde_json::from_str::<Line>(line).ok());
    let text = match logged {
        Some(line) => line.error,
        None => stderr.lines().last().unwrap_or("it said nothing").to_owned(),
    };
    // Of gRPC's nested descriptions the innermost says what happened.
    let inner = text.rsplit("desc = ").next().unwrap_or(&text);
    inner.trim_matches(['"', '\\', ' ']).trim_start_matches("Error: ").to_owned()
}

/// IDs and counters are 64-bit numbers; etcd's JSON leaves out what is zero.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Header {
    pub cluster_id: u64,
    pub member_id: u64,
    pub revision: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct StatusRow {
    #[serde(rename = "Status")]
    pub status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    pub header: Header,
    pub version: String,
    pub db_size: u64,
    pub leader: u64,
    pub raft_index: u64,
    pub raft_term: u64,
    pub raft_applied_index: u64,
    pub errors: Vec<String>,
    pub is_learner: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct MemberList {
    pub header: Header,
    #[serde(default)]
    pub members: Vec<ListedMember>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct ListedMember {
    #[serde(rename = "ID")]
    pub id: u64,
    pub name: String,
    #[serde(rename = "peerURLs")]
    pub peer_urls: Vec<String>,
    #[serde(rename = "clientURLs")]
    pub client_urls: Vec<String>,
    #[serde(rename = "isLearner")]
    pub is_learner: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct HealthRow {
    #[serde(default)]
    pub health: bool,
    #[serde(default)]
    pub error: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct HashRow {
    #[serde(rename = "HashKV")]
    pub hash: Hash,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Hash {
    pub hash: u32,
    /// Hashes are of what lies between this revision and the asked one.
    pub compact_revision: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Alarms {
    #[serde(default)]
    pub alarms: Vec<Alarm>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Alarm {
    #[serde(rename = "memberID")]
    pub member_id: u64,
    /// etcd's AlarmType: 1 NOSPACE, 2 CORRUPT.
    pub alarm: i64,
}

/// `lease grant` has no header of its own, and its names begin with capitals.
#[derive(Clone, Debug, Deserialize)]
pub struct Lease {
    #[serde(rename = "ID")]
    pub id: u64,
}

/// Of `put` and `lease revoke` only the header counts.
#[derive(Clone, Debug, Deserialize)]
pub struct Written {
    pub header: Header,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Range {
    #[serde(default)]
    pub kvs: Vec<KeyValue>,
}

/// Both in base64, as JSON has no bytes.
#[derive(Clone, Debug, Deserialize)]
pub struct KeyValue {
    pub key: String,
    #[serde(default)]
    pub value: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gist_of_what_etcdctl_says() {
        let cases = [
            (
                r#"{"level":"warn","msg":"retrying","error":"rpc error: code = DeadlineExceeded desc = latest balancer error: last connection error: connection error: desc = \"transport: Error while dialing: dial tcp 10.240.48.10:2379: connect: connection refused\""}
Error: context deadline exceeded"#,
                "transport: Error while dialing: dial tcp 10.240.48.10:2379: connect: connection refused",
            ),
            ("Error: etcdserver: no leader", "etcdserver: no leader"),
            ("", "it said nothing"),
        ];
        for (stderr, want) in cases {
            assert_eq!(gist(stderr), want);
        }
    }

    #[test]
    fn a_started_member_has_names_and_urls() {
        // Written by etcdctl 3.5.16; the second member was added and not started.
        let json = r#"{"header":{"cluster_id":17237436991929493444,"member_id":9372538179322589801,"raft_term":2},
            "members":[{"ID":9372538179322589801,"name":"cp-a","peerURLs":["https://10.240.16.10:2380"],
            "clientURLs":["https://10.240.16.10:2379"]},{"ID":5,"peerURLs":["https://x:2380"],"isLearner":true}]}"#;
        let list: MemberList = serde_json::from_str(json).unwrap();
        assert_eq!(list.header.cluster_id, 17_237_436_991_929_493_444);
        assert_eq!(list.members[0].name, "cp-a");
        assert!(list.members[1].name.is_empty() && list.members[1].is_learner);
    }
}
