//! The node's own member: whether what it hands out is fresh, and what etcd's programs say of a snapshot.

use std::path::Path;
use std::time::Duration;

use kiln_wire::{Backup, EtcdVersion, Id};
use serde::Deserialize;

use super::command::run;
use crate::failure::{Failure, Result};

/// For a question; a member that takes longer is not one to take a snapshot of.
const PATIENCE: Duration = Duration::from_secs(5);
/// Beyond that, for the program itself.
const START: Duration = Duration::from_secs(10);
/// For a snapshot, and one that is read, beside the time that its bytes take.
const LONG: Duration = Duration::from_secs(120);
/// Bytes per second at least.
const SLOWEST: u64 = 2 << 20;
/// The key of the read that asks for a majority; it does not have to be there.
const KEY: &str = "kiln/snapshot";

/// What a member says of itself; it has a leader, and no alarm.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its ID.
    pub id: Id,
    /// Its release.
    pub version: EtcdVersion,
    /// Bytes of its database.
    pub size: u64,
    /// It is the leader.
    pub is_leader: bool,
}

/// Of a snapshot, by etcd's own program.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Status {
    /// Of keys and values.
    pub hash: u32,
    /// The highest revision in it.
    pub revision: u64,
}

/// Of an answer of `endpoint status`. Later releases say more.
#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "Status")]
    status: EndpointStatus,
}

#[derive(Deserialize)]
struct EndpointStatus {
    header: Header,
    version: String,
    #[serde(rename = "dbSize")]
    size: u64,
    #[serde(default)]
    leader: u64,
    #[serde(default, rename = "isLearner")]
    is_learner: bool,
    #[serde(default)]
    errors: Vec<String>,
}

#[derive(Deserialize)]
struct Header {
    cluster_id: u64,
    member_id: u64,
    #[serde(default)]
    revision: u64,
}

#[derive(Deserialize)]
struct Answer {
    header: Header,
}

fn parsed<'j, T: Deserialize<'j>>(what: &str, bytes: &'j [u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::new(format!("{what} gives an answer that cannot be read: {error}")))
}

/// Asks the member by etcdctl.
fn ask(policy: &Backup, verb: &[&str], patience: Duration) -> Result<Vec<u8>> {
    ask_without_limit(policy, &[&["--command-timeout=5s"], verb].concat(), patience)
}

/// The same for a command that streams: with a limit for the command, etcdctl ends a snapshot that takes longer
/// (`isCommandTimeoutFlagSet` in etcdctl/ctlv3/command/global.go).
fn ask_without_limit(policy: &Backup, verb: &[&str], patience: Duration) -> Result<Vec<u8>> {
    let mut arguments = vec!["--endpoints", policy.endpoint.as_str(), "--cacert", policy.ca.as_str()];
    arguments.extend(["--cert", policy.cert.as_str(), "--key", policy.key.as_str()]);
    arguments.push("--dial-timeout=5s");
    arguments.extend(verb);
    run(policy.etcdctl.as_str(), &arguments, patience)
}

/// Refuses another cluster's member.
fn belongs(policy: &Backup, header: &Header) -> Result<()> {
    if header.cluster_id == policy.cluster_id.0 {
        return Ok(());
    }
    let (found, wanted) = (Id(header.cluster_id), policy.cluster_id);
    Err(Failure::new(format!(
        "{} serves cluster {found}, and this node was built for {wanted}; deliver the files of the right bundle",
        policy.endpoint
    )))
}

/// The member, if a snapshot of it can be fresh.
///
/// # Errors
/// Why it cannot be.
pub fn look(policy: &Backup) -> Result<Member> {
    let bytes = ask(policy, &["endpoint", "status", "-w", "json"], PATIENCE + START)?;
    let [Endpoint { status }] =
        <[Endpoint; 1]>::try_from(parsed::<Vec<Endpoint>>("etcdctl endpoint status", &bytes)?)
            .map_err(|_| Failure::new("etcdctl endpoint status does not answer for one member"))?;
    belongs(policy, &status.header)?;
    if let Some(error) = status.errors.first() {
        let shown: String = error.chars().filter(|letter| !letter.is_control()).take(200).collect();
        return Err(Failure::new(format!("the member has an error or an alarm: {shown}")));
    }
    let version = EtcdVersion::try_from(status.version)
        .map_err(|why| Failure::new(format!("the member says a version that is none: {why}")))?;
    match () {
        () if status.leader == 0 => Err(Failure::new("the member has no leader")),
        () if status.is_learner => Err(Failure::new("the member is a learner, which may lack data")),
        () => Ok(Member {
            id: Id(status.header.member_id),
            version,
            size: status.size,
            is_leader: status.leader == status.header.member_id,
        }),
    }
}

/// The revision that a majority agrees on now, read through this member: one that is cut off does not answer.
///
/// # Errors
/// Where it does not.
pub fn agreed_revision(policy: &Backup) -> Result<u64> {
    let verb = ["get", KEY, "--consistency=l", "--keys-only", "-w", "json"];
    let bytes = ask(policy, &verb, PATIENCE + START).map_err(|why| {
        let node = &policy.node;
        Failure::new(format!(
            "the member does not reach a majority, or does not let the user kiln-snapshot@{node} in: {why}"
        ))
    })?;
    let Answer { header } = parsed("etcdctl get", &bytes)?;
    belongs(policy, &header)?;
    Ok(header.revision)
}

fn patience(size: u64) -> Duration {
    LONG + Duration::from_secs(size / SLOWEST)
}

/// Has etcdctl write a snapshot to this path.
///
/// # Errors
/// Where it does not.
pub fn save(policy: &Backup, member: &Member, to: &Path) -> Result<()> {
    let to = text(to)?;
    ask(policy, &["snapshot", "save", to], patience(member.size)).map(drop)
}

/// What etcd's program says of a snapshot whose own digest is right; it panics on others.
///
/// # Errors
/// Where it cannot read it.
pub fn status(policy: &Backup, path: &Path, size: u64) -> Result<Status> {
    let program = policy.etcdutl.as_ref().unwrap_or(&policy.etcdctl);
    let bytes = run(program.as_str(), &["snapshot", "status", text(path)?, "-w", "json"], patience(size))?;
    let status: Status = parsed("snapshot status", &bytes)?;
    // A store in which nothing was ever written is at revision 1, and its file says 0.
    Ok(Status { revision: status.revision.max(1), ..status })
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Failure::new("the directory of snapshots has a name that is not UTF-8"))
}
