//! The inner half of a rehearsal: process 1 of namespaces of its own. When it ends, however it ends, the kernel
//! removes every process, interface and mount that it made.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::journal;
use super::network;
use super::node::{self, Accounts, Member, Stage};
use crate::bundle::{MANIFEST, Manifest};
use crate::causes::Fault;
use crate::cluster::{self, Etcdctl};
use crate::disk::{self, Lock};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::interrupt;
use crate::parallel;
use crate::process;
use crate::report::{Check, Outcome, Report};
use crate::values::{Epoch, Mode};
use crate::verify::{self, Stranger};

/// Orders and answers are small; a report grows with the nodes.
pub const LIMIT: u64 = 64 << 20;

/// How often the members are looked at while the cluster forms.
const GLANCE: Duration = Duration::from_millis(20);

/// Between two questions whether the cluster has formed.
const PAUSE: Duration = Duration::from_millis(100);

/// What the outer half asks for.
#[derive(Serialize, Deserialize)]
pub struct Order {
    pub bundle: PathBuf,
    pub deadline_seconds: u64,
    pub quiet: bool,
    /// All of this machine's accounts can be used: no user namespace was needed.
    pub root: bool,
    /// Seconds since 1970.
    pub now: u64,
    /// Certificate and key in PEM.
    pub stranger: Option<(String, String)>,
}

/// What the inner half answers.
#[derive(Serialize, Deserialize)]
pub enum Answer {
    Report(Box<Report>),
    Failed { exit: u8, text: String },
}

pub fn order_file(scratch: &Path) -> PathBuf {
    scratch.join("order.json")
}

pub fn answer_file(scratch: &Path) -> PathBuf {
    scratch.join("answer.json")
}

pub fn lock_file(scratch: &Path) -> PathBuf {
    scratch.join("lock")
}

/// Does what the order in `scratch` says, writes the answer beside it, and keeps the members running until the
/// outer half lets go.
///
/// # Errors
/// Only when there is no order to do, or no place for the answer; everything else is in the answer.
pub fn inside(scratch: &Path) -> Result<()> {
    process::end_with_parent()?;
    // As long as anything in here lives, the directory is not swept away as a dead run's.
    let _lock = Lock::shared(&lock_file(scratch))?;
    let order: Order = serde_json::from_slice(&disk::read(&order_file(scratch), LIMIT)?)
        .map_err(|error| Failure::new(Exit::Usage, format!("this is not a rehearsal's order: {error}")))?;
    let steps = Steps { begun: Instant::now(), quiet: order.quiet };
    let mut members = Vec::new();
    let answer = match form(scratch, &order, &steps, &mut members) {
        Ok(report) => Answer::Report(Box::new(report)),
        Err(failure) => Answer::Failed { exit: failure.exit() as u8, text: failure.to_string() },
    };
    let json = serde_json::to_vec(&answer)
        .map_err(|error| Failure::io(format!("writing the rehearsal's answer: {error}")))?;
    disk::write_whole(&answer_file(scratch), &json, Mode::SECRET)?;
    hold(members, &steps)
}

/// Until the lifeline ends this process. Says when a member ends by itself meanwhile.
fn hold(mut members: Vec<Member>, steps: &Steps) -> Result<()> {
    loop {
        thread::sleep(PAUSE);
        let mut left = Vec::new();
        for mut member in members {
            match member.running.ended()? {
                Some(ended) => steps.say(&format!("{} has ended with {ended}", member.name)),
                None => left.push(member),
            }
        }
        members = left;
    }
}

/// Tells on standard error how far it is.
struct Steps {
    begun: Instant,
    quiet: bool,
}

impl Steps {
    fn say(&self, what: &str) {
        if !self.quiet {
            // Nobody may be reading any more.
            let _ = writeln!(std::io::stderr(), "{:5.1} s  {what}", self.begun.elapsed().as_secs_f64());
        }
    }
}

fn form(scratch: &Path, order: &Order, steps: &Steps, members: &mut Vec<Member>) -> Result<Report> {
    let bytes = disk::read(&order.bundle.join(MANIFEST), LIMIT)?;
    let manifest = Manifest::from_json(&bytes)?;
    let accounts = if order.root { Accounts::find() } else { None };
    let (mut stages, etcdctl) = stage(scratch, order, &manifest, accounts.as_ref())?;
    let mut notes = Vec::new();
    if accounts.is_none() {
        let why = if order.root { "this machine has no systemd-sysusers" } else { "kiln is not run by root" };
        notes.push(format!("{why}, so etcd ran as root of a user namespace and owners were not tried"));
    }
    if stages.iter().any(|stage| stage.borrows_libraries) {
        notes.push("the baked etcd is linked dynamically and used this machine's C library".into());
    }
    stages.iter_mut().for_each(Stage::fit_limits);
    let without: BTreeSet<_> = stages.iter().flat_map(|stage| stage.not_imitated().iter().cloned()).collect();
    if !without.is_empty() {
        let without: Vec<_> = without.into_iter().collect();
        notes.push(format!("not imitated of the unit: {}", without.join(", ")));
    }
    let users: Vec<_> = stages.iter().map(|stage| format!("{} as {}", stage.name, stage.user())).collect();
    disk::make_directories(&scratch.join("logs"), Mode::SECRET_DIRECTORY)?;
    for stage in stages {
        members.push(stage.start(scratch)?);
    }
    steps.say(&format!("started etcd: {}", users.join(", ")));

    let formed = wait_for_all(order, &manifest, etcdctl, members)?;
    if formed {
        steps.say("every member is healthy; verifying");
    } else {
        let seconds = order.deadline_seconds;
        steps.say(&format!("after {seconds} s not every member is healthy; verifying all the same"));
        notes.push(format!("the cluster was given {seconds} s to form"));
    }
    let options = verify::Options {
        now: Epoch::from_seconds(order.now).map_err(|invalid| Failure::wrong(invalid.0))?,
        endpoints: Default::default(),
        read_only: false,
        stranger: order.stranger.as_ref().map(|(certificate, key)| Stranger {
            certificate: certificate.clone().into_bytes(),
            key: key.clone().into_bytes(),
        }),
    };
    // Before verify knocks at the doors, which the members complain about as well.
    let complaints = if formed { Vec::new() } else { complaints(members)? };
    let mut report = verify::run(&order.bundle, &manifest, &options)?;
    steps.say("verified");
    let failed = |name: &str| {
        let of = |check: &&Check| check.node.as_deref() == Some(name);
        report.checks.iter().filter(of).any(|check| check.outcome == Outcome::Failed)
    };
    let told = complaints.into_iter().filter(|(name, _)| failed(name));
    notes.extend(told.map(|(name, line)| format!("{name} logged last: {line}")));
    report.notes.extend(notes);
    Ok(report)
}

/// Unpacks all nodes, lays the network and takes etcdctl out, side by side.
fn stage(
    scratch: &Path,
    order: &Order,
    manifest: &Manifest,
    accounts: Option<&Accounts>,
) -> Result<(Vec<Stage>, Etcdctl)> {
    thread::scope(|scope| {
        let etcdctl = parallel::beside(scope, || Etcdctl::new(&order.bundle, manifest, scratch));
        let nodes = parallel::beside(scope, || {
            let prepare = |node| node::prepare(&order.bundle, scratch, manifest, node, accounts);
            parallel::each(&manifest.nodes, manifest.nodes.len(), prepare)
        });
        network::build(scratch, manifest).doing(|| "laying the network".into())?;
        Ok((nodes.join()??, etcdctl.join()??))
    })
}

/// `false` when the deadline has come before all members were healthy.
///
/// # Errors
/// `Exit::Wrong` when a member ends meanwhile, with what it said and the likely cause.
fn wait_for_all(
    order: &Order,
    manifest: &Manifest,
    etcdctl: Etcdctl,
    members: &mut [Member],
) -> Result<bool> {
    let endpoints = cluster::endpoints(manifest)?;
    let until = Instant::now() + Duration::from_secs(order.deadline_seconds);
    let (teller, told) = mpsc::channel();
    // On its own, because a question that waits for an election must not keep a member's end from being seen.
    parallel::detached(move || {
        loop {
            let healthy = etcdctl.all_healthy(&endpoints);
            let done = !matches!(healthy, Ok(false));
            if teller.send(healthy).is_err() || done {
                return;
            }
            thread::sleep(PAUSE);
        }
    })?;
    loop {
        interrupt::check()?;
        for member in members.iter_mut() {
            if let Some(ended) = member.running.ended()? {
                member.journal.flush();
                let story = journal::story(&member.log)?;
                let lines: String = story.lines.iter().map(|line| format!("\n  {line}")).collect();
                let advice = |fault: Fault| format!("\nlikely cause: {} {}", fault.cause(), fault.way_out());
                let cause = story.fault.map(advice).unwrap_or_default();
                return Err(Failure::wrong(format!(
                    "etcd on {} ended with {ended}:{lines}{cause}",
                    member.name
                )));
            }
        }
        match told.recv_timeout(GLANCE) {
            Ok(Ok(true)) => return Ok(true),
            Ok(Err(failure)) => return Err(failure),
            Ok(Ok(false)) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::io("nobody asks the members any more"));
            }
        }
        if Instant::now() >= until {
            return Ok(false);
        }
    }
}

/// What each member has complained about last.
fn complaints(members: &[Member]) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for member in members {
        all.extend(journal::complaint(&member.log)?.map(|line| (member.name.clone(), line)));
    }
    Ok(all)
}
