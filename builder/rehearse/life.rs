//! The later life of a cluster within a minute: its nodes renew certificates that live for seconds, and take snapshots,
//! while a client writes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kiln_wire::{Backup, Policy};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::files::{below, inside};
use super::together::{Cluster, Machine};
use super::{mounts, network};
use crate::bundle::manifest;
use crate::causes::Fault;
use crate::cluster::{self, Etcdctl, Range, Trouble, Written};
use crate::disk;
use crate::failure::{Doing, Failure, Result};
use crate::parallel;
use crate::process::{self, Program};
use crate::report::Check;
use crate::values::{Mode, NODE_PROGRAM};

/// Each node makes so many generations: the first of them is gone before the last one comes.
const GENERATIONS: u32 = 3;
/// The keys that are written.
const PREFIX: &str = "kiln/life/";
/// For one run of kiln-node, which asks ports and waits for etcd.
const PATIENCE: Duration = Duration::from_secs(60);
const MAX_POLICY_BYTES: u64 = 1 << 20;

/// What kiln-node says of a new generation.
const MADE: &str = "has new certificates ";

const RENEWED: &str = "certificates renewed";
const WRITTEN: &str = "writes while renewing";
const SNAPSHOT: &str = "snapshot taken";

/// A node's files as root of that node sees them; etcd sees them with the restrictions of its unit.
fn view(scratch: &Path, node: &str) -> PathBuf {
    scratch.join("roots").join(node)
}

/// Shows a node's files there, before etcd's unit restricts them, if its certificates are to be renewed.
pub fn open(scratch: &Path, clusters: &[Cluster], machine: &Machine<'_>, root: &Path) -> Result<()> {
    if machine.clusters.iter().all(|of| clusters[*of].leaf_life.is_none()) {
        return Ok(());
    }
    let at = view(scratch, machine.node.name.as_str());
    disk::make_directories(&at, Mode::DIRECTORY)?;
    mounts::show(root, &at)
}

/// kiln-node on one node.
struct NodeAgent<'k> {
    scratch: &'k Path,
    node: &'k manifest::Node,
    root: PathBuf,
    /// Its files on the node: `/etc/kiln`.
    directory: String,
    program: String,
}

/// What a run has said, without what all its lines begin with.
type Said = std::result::Result<Option<String>, String>;

impl<'k> NodeAgent<'k> {
    fn new(scratch: &'k Path, cluster: &Cluster, node: &'k manifest::Node) -> Result<Self> {
        let manifest = &cluster.manifest;
        let program = manifest.kiln_node.as_ref().ok_or_else(|| {
            Failure::wrong(format!(
                "the bundle has no {NODE_PROGRAM}, which would renew; build it with [pki] renewal"
            ))
        })?;
        Ok(Self {
            scratch,
            node,
            root: view(scratch, node.name.as_str()),
            directory: format!("/etc/{}", manifest.cluster.instance.directory()),
            program: program.path.absolute(),
        })
    }

    /// Changes a policy of the node; `None` where it has none.
    fn change<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        change: impl FnOnce(&mut T),
    ) -> Result<Option<T>> {
        let Some(path) = inside(&self.root, &format!("{}/{name}", self.directory))? else { return Ok(None) };
        let reading = || format!("reading {name} of {}", self.node.name);
        let text = disk::read(&path, MAX_POLICY_BYTES)?;
        let mut policy: T = serde_json::from_slice(&text)
            .map_err(|error| Failure::wrong(error.to_string()))
            .doing(reading)?;
        change(&mut policy);
        let text =
            serde_json::to_vec(&policy).map_err(|error| Failure::io(error.to_string())).doing(reading)?;
        disk::write_whole(&path, &text, Mode::FILE)?;
        Ok(Some(policy))
    }

    /// From now on what it makes lives for so many seconds; and it has none from the desk any more, which would do for
    /// a year.
    fn shorten(&self, seconds: u64) -> Result<()> {
        let policy =
            self.change("renew.json", |policy: &mut Policy| policy.life = seconds)?.ok_or_else(|| {
                Failure::wrong(format!(
                    "{} does not renew its certificates; build it with [pki] renewal",
                    self.node.name
                ))
            })?;
        disk::remove_directory(&below(&self.root, policy.first.as_str())?)
    }

    fn run(&self, verb: &str, policy: &str) -> Result<Said> {
        let program = Program::new(process::find("nsenter")?)
            .bare_environment()
            .arg(format!("--net={}", network::namespace_of(self.scratch, self.node.name.as_str()).display()))
            .arg(format!("--root={}", self.root.display()))
            .args(["--wd=/", "--", &self.program, verb, "--policy", &format!("{}/{policy}", self.directory)])
            .within(PATIENCE);
        let finished = program.run()?;
        let said = finished.stderr_text();
        let begin = format!("kiln: {} ", self.node.name);
        let last = said.lines().last().map(|line| line.strip_prefix(&begin).unwrap_or(line).to_owned());
        Ok(match finished.success() {
            true => Ok(last),
            false => Err(last.unwrap_or_else(|| format!("it ended with {}", finished.ended))),
        })
    }
}

/// Rows of what was tried, in which each certificate lives for so many seconds.
///
/// # Errors
/// Where this machine refuses a step, or the bundle's nodes do not renew.
pub fn live(
    scratch: &Path,
    cluster: &Cluster,
    etcdctl: &Etcdctl,
    seconds: u64,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Vec<Check>> {
    let nodes = &cluster.manifest.nodes;
    let agents =
        nodes.iter().map(|node| NodeAgent::new(scratch, cluster, node)).collect::<Result<Vec<_>>>()?;
    let endpoints = cluster::endpoints(&cluster.manifest)?;
    agents.iter().try_for_each(|agent| agent.shorten(seconds))?;
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let writing = parallel::beside(scope, || write(etcdctl, &endpoints, &ended));
        let lived = renew(&agents, seconds, say);
        ended.store(true, Ordering::Relaxed);
        let wrote = writing.join()?;
        let mut checks = lived?;
        checks.push(wrote.judge(etcdctl, &endpoints));
        checks.extend(snapshots(&agents, say)?);
        Ok(checks)
    })
}

/// The renewals of a cluster that goes on running.
pub struct Renewals<'k> {
    agents: Vec<NodeAgent<'k>>,
    interval: Duration,
    last: Instant,
}

impl<'k> Renewals<'k> {
    /// Of a cluster whose certificates live for seconds; `None` for another.
    ///
    /// # Errors
    /// As `live`.
    pub fn of(scratch: &'k Path, cluster: &'k Cluster) -> Result<Option<Self>> {
        let Some(seconds) = cluster.leaf_life else { return Ok(None) };
        let nodes = cluster.manifest.nodes.iter();
        let agents = nodes.map(|node| NodeAgent::new(scratch, cluster, node)).collect::<Result<_>>()?;
        Ok(Some(Self { agents, interval: interval(seconds), last: Instant::now() }))
    }

    /// Renews what is due, and says what could not be done.
    pub fn look(&mut self, say: &dyn Fn(&str)) {
        if self.last.elapsed() < self.interval {
            return;
        }
        self.last = Instant::now();
        for agent in &self.agents {
            let said = agent.run("renew", "renew.json").unwrap_or_else(|failure| Err(failure.to_string()));
            if let Some(said) = said.unwrap_or_else(Some) {
                say(&format!("{} {said}", agent.node.name));
            }
        }
    }
}

/// Between two looks at certificates that live for so many seconds.
fn interval(seconds: u64) -> Duration {
    Duration::from_millis(seconds * 100)
}

/// Runs kiln-node as often as its timer would, for lives of this length.
fn renew(agents: &[NodeAgent<'_>], seconds: u64, say: &(dyn Fn(&str) + Sync)) -> Result<Vec<Check>> {
    // Due after two thirds of a life: the first at once, and each of the others with some time to spare.
    let limit = seconds * u64::from(GENERATIONS) + PATIENCE.as_secs();
    let until = Instant::now() + Duration::from_secs(limit);
    parallel::each(agents, agents.len(), |agent| {
        let name = Some(agent.node.name.as_str());
        let mut made = 0;
        while made < GENERATIONS {
            if Instant::now() > until {
                let said = format!("{made} times in {limit} s, and it is to be {GENERATIONS}");
                return Ok(Check::failed(RENEWED, name, Fault::RenewalFails, said));
            }
            match agent.run("renew", "renew.json")? {
                Ok(said) => {
                    made += u32::from(said.as_ref().is_some_and(|said| said.starts_with(MADE)));
                    said.iter().for_each(|said| say(&format!("{} {said}", agent.node.name)));
                    thread::sleep(interval(seconds));
                }
                Err(said) => return Ok(Check::failed(RENEWED, name, Fault::RenewalFails, said)),
            }
        }
        let detail = format!("{made} times, for {seconds} s each, without a restart");
        Ok(Check::ok(RENEWED, name, detail))
    })
}

/// What a client has done meanwhile.
#[derive(Default)]
struct Wrote {
    acknowledged: u64,
    failed: u64,
    first: Option<Trouble>,
    /// Between two writes that were acknowledged.
    longest: Duration,
}

/// Writes one key after the other, through each member in turn.
fn write(etcdctl: &Etcdctl, endpoints: &[String], ended: &AtomicBool) -> Wrote {
    let mut wrote = Wrote::default();
    let mut last = Instant::now();
    for (number, endpoint) in endpoints.iter().cycle().enumerate() {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("{PREFIX}{number:08}");
        match etcdctl.ask::<Written>(endpoint, &["put", &key, "written"]) {
            Ok(_) => {
                wrote.acknowledged += 1;
                wrote.longest = wrote.longest.max(last.elapsed());
                last = Instant::now();
            }
            Err(trouble) => {
                wrote.failed += 1;
                wrote.first.get_or_insert(trouble);
            }
        }
    }
    wrote
}

impl Wrote {
    fn judge(&self, etcdctl: &Etcdctl, endpoints: &[String]) -> Check {
        let Self { acknowledged, failed, first, longest } = self;
        // The answer counts all that match (RangeResponse in api/etcdserverpb/rpc.proto of etcd).
        let count = ["get", "--prefix", "--keys-only", "--limit=1", PREFIX];
        let there = endpoints.first().map(|endpoint| {
            let there = etcdctl.ask::<Range>(endpoint, &count).map(|range| range.count);
            // Also where it is kept running.
            let _ = etcdctl.clear_up::<Written>(endpoint, &["del", "--prefix", PREFIX]);
            there
        });
        let detail = format!(
            "{acknowledged} acknowledged, {failed} failed, {:.1} s between two at most",
            longest.as_secs_f64()
        );
        match (there, first) {
            (Some(Err(trouble)), _) => Check::failed(WRITTEN, None, trouble.fault, trouble.said),
            (Some(Ok(there)), _) if there < *acknowledged => Check::failed(
                WRITTEN,
                None,
                Fault::LostWrites,
                format!("{detail}; {there} of them are there"),
            ),
            (_, Some(trouble)) => {
                Check::failed(WRITTEN, None, trouble.fault, format!("{detail}; the first: {}", trouble.said))
            }
            _ => Check::ok(WRITTEN, None, detail),
        }
    }
}

/// One of each node, on its own disk: no bucket is reached from here.
fn snapshots(agents: &[NodeAgent<'_>], say: &(dyn Fn(&str) + Sync)) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for agent in agents {
        let name = agent.node.name.as_str();
        let local = |policy: &mut Backup| (policy.s3, policy.prune) = (None, None);
        if agent.change("backup.json", local)?.is_none() {
            continue;
        }
        checks.push(match agent.run("snapshot", "backup.json")? {
            Ok(said) => {
                let said = said.unwrap_or_default();
                let said = said.strip_prefix("has taken a snapshot: ").unwrap_or(&said);
                say(&format!("{name} {said}"));
                Check::ok(SNAPSHOT, Some(name), said)
            }
            Err(said) => Check::failed(SNAPSHOT, Some(name), Fault::SnapshotFails, said),
        });
    }
    Ok(checks)
}
