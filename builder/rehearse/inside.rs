//! The inner half of a rehearsal: process 1 of namespaces of its own. When it ends, however it ends, the kernel
//! removes every process, interface and mount that it made.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::life::{self, Renewals};
use super::network;
use super::node::{self, Accounts, Member, Stage};
use super::restored;
use super::together::{self, Cluster, Ordered};
use crate::causes::{self, Fault};
use crate::cluster::{self, Etcdctl};
use crate::disk::{self, Lock};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::interrupt;
use crate::parallel;
use crate::process;
use crate::report::{Check, Outcome, Report};
use crate::values::{Epoch, Mode};
use crate::verify::{self, Stranger};

/// The limit on a message: orders and answers are small, but a report grows with the nodes.
pub const MAX_MESSAGE_BYTES: u64 = 64 << 20;

/// The interval of checking the members while the cluster forms.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The limit on a log: a rehearsal is short, and its logs stay far below this.
const MAX_LOG_BYTES: u64 = 256 << 20;

/// The time between two checks whether the cluster has formed.
const FORMED_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The order of the outer half.
#[derive(Serialize, Deserialize)]
pub struct Request {
    pub bundles: Vec<Ordered>,
    pub deadline_seconds: u64,
    pub quiet: bool,
    /// All accounts of this machine can be used: no user namespace was needed.
    pub root: bool,
    /// Seconds since 1970.
    pub now: u64,
}

/// The answer of the inner half.
#[derive(Serialize, Deserialize)]
pub enum Answer {
    Reports(Vec<Report>),
    Failed { exit: u8, text: String },
}

pub fn order_file(scratch: &Path) -> PathBuf {
    scratch.join("order.json")
}

pub fn answer_file(scratch: &Path) -> PathBuf {
    scratch.join("answer.json")
}

/// Space for the answer on a disk that has become full.
pub fn spare_file(scratch: &Path) -> PathBuf {
    scratch.join("spare-space")
}

pub fn lock_file(scratch: &Path) -> PathBuf {
    scratch.join("lock")
}

/// Carries out the order in `scratch`, writes the answer beside it, and keeps the members running until the outer half
/// closes the lifeline.
///
/// # Errors
/// Only when there is no order, or the answer cannot be written; all other errors are in the answer.
pub fn inside(scratch: &Path) -> Result<()> {
    process::end_with_parent()?;
    // As long as a process in here lives, the directory is not removed as that of a killed run.
    let _lock = Lock::shared(&lock_file(scratch))?;
    let mut order: Request = serde_json::from_slice(&disk::read(&order_file(scratch), MAX_MESSAGE_BYTES)?)
        .map_err(|error| Failure::new(Exit::Usage, format!("this is not a rehearsal's order: {error}")))?;
    let steps = Steps { begun: Instant::now(), quiet: order.quiet };
    let mut members = Vec::new();
    let mut clusters = Vec::new();
    let answer = match form(scratch, &mut order, &steps, &mut clusters, &mut members) {
        Ok(reports) => Answer::Reports(reports),
        Err(failure) => {
            let failure = full(failure);
            Answer::Failed { exit: failure.exit() as u8, text: failure.to_string() }
        }
    };
    let json = serde_json::to_vec(&answer)
        .map_err(|error| Failure::io(format!("writing the rehearsal's answer: {error}")))?;
    disk::remove_file(&spare_file(scratch))?;
    disk::write_whole(&answer_file(scratch), &json, Mode::SECRET)?;
    let renewals =
        clusters.iter().map(|cluster| Renewals::of(scratch, cluster)).collect::<Result<Vec<_>>>()?;
    hold(members, renewals.into_iter().flatten().collect(), &steps)
}

/// A failure for want of space is this machine's, whatever ran out of it; said with the way out.
pub fn full(failure: Failure) -> Failure {
    let text = failure.to_string();
    if Fault::logged_in([&text]) != Some(Fault::DiskFull) {
        return failure;
    }
    let (cause, way_out) = (Fault::DiskFull.cause(), Fault::DiskFull.way_out());
    match text.contains(way_out) {
        true => failure.with_exit(Exit::Io),
        false => Failure::io(format!("{text}\nlikely cause: {cause} {way_out}")),
    }
}

/// Waits until the lifeline ends this process. Reports a member that ends by itself meanwhile.
fn hold(mut members: Vec<Member>, mut renewals: Vec<Renewals<'_>>, steps: &Steps) -> Result<()> {
    loop {
        renewals.iter_mut().for_each(|one| one.look(&|what| steps.say(what)));
        thread::sleep(FORMED_POLL_INTERVAL);
        let mut left = Vec::new();
        for mut member in members {
            match member.running.ended()? {
                Some(ended) => steps.say(&format!("{} has ended with {ended}", member.label)),
                None => left.push(member),
            }
        }
        members = left;
    }
}

/// Reports progress on standard error.
struct Steps {
    begun: Instant,
    quiet: bool,
}

impl Steps {
    fn say(&self, what: &str) {
        if !self.quiet {
            // The reader may have ended.
            let _ = writeln!(std::io::stderr(), "{:5.1} s  {what}", self.begun.elapsed().as_secs_f64());
        }
    }
}

fn form(
    scratch: &Path,
    order: &mut Request,
    steps: &Steps,
    clusters: &mut Vec<Cluster>,
    members: &mut Vec<Member>,
) -> Result<Vec<Report>> {
    *clusters = together::read(std::mem::take(&mut order.bundles))?;
    let accounts = if order.root { Accounts::find() } else { None };
    let (mut stages, etcdctls) = stage(scratch, clusters, accounts.as_ref())?;
    stages.iter_mut().for_each(Stage::fit_limits);
    let mut notes: Vec<Vec<String>> =
        (0..clusters.len()).map(|at| limits(order, &stages, at, accounts.is_some())).collect();
    let users: Vec<_> = stages.iter().map(|stage| format!("{} as {}", stage.label, stage.user())).collect();
    disk::make_directories(&scratch.join("logs"), Mode::SECRET_DIRECTORY)?;
    for stage in stages {
        members.push(stage.start(scratch)?);
    }
    steps.say(&format!("started etcd: {}", users.join(", ")));

    let formed = wait_for_all(order, clusters, etcdctls.clone(), members)?;
    if formed {
        steps.say("every member is healthy; verifying");
    } else {
        let seconds = order.deadline_seconds;
        steps.say(&format!("after {seconds} s, some members are not healthy; verifying anyway"));
        let (what, has) = if clusters.len() == 1 { ("cluster", "was") } else { ("clusters", "were") };
        notes.iter_mut().for_each(|notes| notes.push(format!("the {what} {has} given {seconds} s to form")));
    }
    // Collected before verify probes the ports, because the members log complaints about probes, too.
    let complaints = if formed { Vec::new() } else { complaints(members)? };
    let mut reports = Vec::new();
    for (at, (cluster, notes)) in clusters.iter().zip(notes).enumerate() {
        let of =
            |(of, name, line): &(usize, String, String)| (*of == at).then(|| (name.clone(), line.clone()));
        // Before verify writes anything.
        let restored = restored::check(cluster, &etcdctls[at])?;
        let mut report = verified(order, cluster, notes, complaints.iter().filter_map(of))?;
        report.checks.extend(restored);
        let is_well = formed && report.checks.iter().all(|check| check.outcome != Outcome::Failed);
        if let Some(seconds) = cluster.leaf_life.filter(|_| is_well) {
            steps.say(&format!("verified; from here on certificates live for {seconds} s"));
            let say = |what: &str| steps.say(what);
            report.checks.extend(life::live(scratch, cluster, &etcdctls[at], seconds, &say)?);
            report.notes.retain(|note| note != verify::UNPROVEN);
        }
        reports.push(report);
    }
    if clusters.iter().all(|cluster| cluster.leaf_life.is_none()) {
        steps.say("verified");
    }
    Ok(reports)
}

/// The report on one of the clusters. `complaints` are the last ones of its members, by node.
fn verified(
    order: &Request,
    cluster: &Cluster,
    notes: Vec<String>,
    complaints: impl Iterator<Item = (String, String)>,
) -> Result<Report> {
    let options = verify::Options {
        now: Epoch::from_seconds(order.now).map_err(|invalid| Failure::wrong(invalid.0))?,
        endpoints: Default::default(),
        read_only: false,
        keystore: None,
        renews: false,
        stranger: cluster.stranger.as_ref().map(|(certificate, key)| Stranger {
            certificate: certificate.clone().into_bytes(),
            key: key.clone().into_bytes(),
        }),
    };
    let mut report = verify::run(&cluster.bundle, &cluster.manifest, &options)?;
    let failed = |name: &str| {
        let of = |check: &&Check| check.node.as_deref() == Some(name);
        report.checks.iter().filter(of).any(|check| check.outcome == Outcome::Failed)
    };
    let told: Vec<_> = complaints
        .filter(|(name, _)| failed(name))
        .map(|(name, line)| format!("{name} logged last: {line}"))
        .collect();
    report.notes.extend(notes);
    report.notes.extend(told);
    Ok(report)
}

/// How the rehearsal of one of the clusters differs from its nodes.
fn limits(order: &Request, stages: &[Stage], cluster: usize, accounts: bool) -> Vec<String> {
    let stages: Vec<_> = stages.iter().filter(|stage| stage.cluster == cluster).collect();
    let mut notes = Vec::new();
    if !accounts {
        let why = if order.root { "this machine has no systemd-sysusers" } else { "kiln is not run by root" };
        notes
            .push(format!("{why}, so etcd ran as root of a user namespace, and file owners were not tested"));
    }
    if stages.iter().any(|stage| stage.borrows_libraries) {
        notes.push("the bundle's etcd is dynamically linked and used this machine's C library".into());
    }
    let without: BTreeSet<_> = stages.iter().flat_map(|stage| stage.not_imitated().iter().cloned()).collect();
    if !without.is_empty() {
        let without: Vec<_> = without.into_iter().collect();
        notes.push(format!("settings of the unit that a rehearsal does not apply: {}", without.join(", ")));
    }
    notes
}

/// Unpacks all nodes, sets up the network and extracts each cluster's etcdctl, in parallel.
fn stage(
    scratch: &Path,
    clusters: &[Cluster],
    accounts: Option<&Accounts>,
) -> Result<(Vec<Stage>, Vec<Etcdctl>)> {
    let etcdctl = |(at, Cluster { bundle, manifest, .. }): (usize, &Cluster)| {
        let own = scratch.join("etcdctl").join(at.to_string());
        disk::make_directories(&own, Mode::SECRET_DIRECTORY)?;
        Etcdctl::new(bundle, manifest, &own)
    };
    thread::scope(|scope| {
        let etcdctls =
            parallel::beside(scope, || clusters.iter().enumerate().map(etcdctl).collect::<Result<Vec<_>>>());
        let nodes = parallel::beside(scope, || {
            let machines = together::machines(clusters);
            let prepare = |machine| node::prepare(scratch, clusters, machine, accounts);
            parallel::each(&machines, machines.len(), prepare)
        });
        network::build(scratch, clusters).doing(|| "creating the network".into())?;
        Ok((nodes.join()??.into_iter().flatten().collect(), etcdctls.join()??))
    })
}

/// `false` when the deadline has passed before all members were healthy.
///
/// # Errors
/// `Exit::Wrong` when a member ends meanwhile, with its last messages and the likely cause.
fn wait_for_all(
    order: &Request,
    clusters: &[Cluster],
    etcdctls: Vec<Etcdctl>,
    members: &mut [Member],
) -> Result<bool> {
    let endpoints: Vec<_> =
        clusters.iter().map(|one| cluster::endpoints(&one.manifest)).collect::<Result<_>>()?;
    let until = Instant::now() + Duration::from_secs(order.deadline_seconds);
    let (teller, told) = mpsc::channel();
    // In a thread of its own: a request that waits for an election must not delay noticing that a member has ended.
    parallel::detached(move || {
        loop {
            let mut each = etcdctls.iter().zip(&endpoints);
            let healthy = each.try_fold(true, |all, (etcdctl, endpoints)| {
                etcdctl.all_healthy(endpoints).map(|healthy| all && healthy)
            });
            let done = !matches!(healthy, Ok(false));
            if teller.send(healthy).is_err() || done {
                return;
            }
            thread::sleep(FORMED_POLL_INTERVAL);
        }
    })?;
    loop {
        interrupt::check()?;
        for member in members.iter_mut() {
            if let Some(ended) = member.running.ended()? {
                member.journal.flush();
                let story = causes::tell(&log(member)?);
                let lines: String = story.lines.iter().map(|line| format!("\n  {line}")).collect();
                let advice = |fault: Fault| format!("\nlikely cause: {} {}", fault.cause(), fault.way_out());
                let cause = story.fault.map(advice).unwrap_or_default();
                return Err(Failure::wrong(format!(
                    "etcd on {} ended with {ended}:{lines}{cause}",
                    member.label
                )));
            }
        }
        match told.recv_timeout(POLL_INTERVAL) {
            Ok(Ok(true)) => return Ok(true),
            Ok(Err(failure)) => return Err(failure),
            Ok(Ok(false)) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::io("the thread that polls the members has ended"));
            }
        }
        if Instant::now() >= until {
            return Ok(false);
        }
    }
}

/// What a member has said.
fn log(member: &Member) -> Result<String> {
    Ok(String::from_utf8_lossy(&disk::read(&member.log, MAX_LOG_BYTES)?).into_owned())
}

/// The last complaint of each member, with the place of its cluster and the name of its node.
fn complaints(members: &[Member]) -> Result<Vec<(usize, String, String)>> {
    let mut all = Vec::new();
    for member in members {
        all.extend(causes::complaint(&log(member)?).map(|line| (member.cluster, member.name.clone(), line)));
    }
    Ok(all)
}
