//! `rehearse`: the cluster of a bundle, formed on this machine from the files in the bundle, in namespaces that are
//! removed with it. This is the outer half; `inside` runs in the namespaces.

use std::path::Path;
use std::thread;
use std::time::Duration;

use super::inside::{self, Answer, Request};
use super::snapshot::Snapshot;
use super::together::Ordered;
use crate::bundle::Bundle;
use crate::cluster::refuse_foreign;
use crate::disk::{self, Scratch};
use crate::failure::{Exit, Failure, Result};
use crate::interrupt;
use crate::process::{self, Ended, Program, Running};
use crate::report::Report;
use crate::values::{Epoch, Mode};
use crate::verbose;
use crate::verify::Stranger;

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Killing a few etcds takes the kernel milliseconds, but it also has to free their memory.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Reports are longer, and a disk that is full has none.
const SPARE_BYTES: usize = 256 << 10;

/// Also the prefix of the directories of killed runs, so that they are recognized.
const PURPOSE: &str = "rehearse";

pub struct Rehearsal {
    /// The time for the cluster to form.
    pub deadline: Duration,
    pub quiet: bool,
    /// Today's date, with which certificates are checked.
    pub now: Epoch,
    /// For each bundle, a client certificate of an unknown CA, which every port must refuse.
    pub strangers: Vec<Option<Stranger>>,
    /// What the members of the only bundle begin with.
    pub snapshot: Option<Snapshot>,
    /// The nodes of the only bundle renew afterwards, with certificates that live for so many seconds.
    pub leaf_life: Option<u64>,
}

/// Formed and verified clusters; they are removed when this is dropped.
pub struct Rehearsed {
    /// One for each bundle.
    pub reports: Vec<Report>,
    /// A command line that enters the cluster's network, as the user who runs the rehearsal.
    pub enter: String,
    running: Running,
    scratch: Scratch,
}

/// Forms the cluster and verifies it; of several bundles all clusters, on the same nodes where their names and
/// addresses are the same.
///
/// # Errors
/// `Exit::Wrong` when the bundle does not start; `Exit::Io` when this machine refuses a step; `Exit::Interrupted`. A
/// cluster that starts but does not match the bundle is not an error: the report says so.
pub fn rehearse(bundles: &[Bundle], options: &Rehearsal) -> Result<Rehearsed> {
    bundles.iter().try_for_each(|bundle| refuse_foreign(&bundle.manifest, "rehearse it"))?;
    let unshare = process::find("unshare")?;
    for program in ["ip", "nsenter", "prlimit", "tar", "gzip"] {
        process::find(program)?;
    }
    let scratch = Scratch::swept(PURPOSE)?;
    let root = rustix::process::geteuid().is_root();
    write_order(bundles, options, root, &scratch).map_err(inside::full)?;

    let mut program = Program::new(unshare)
        .args(["--net", "--mount", "--propagation=private", "--pid", "--uts", "--ipc"])
        .args(["--mount-proc", "--fork", "--kill-child"]);
    if !root {
        program = program.args(["--user", "--map-root-user"]);
    }
    program =
        program.arg("--").arg(process::this_program()?).args(["rehearse", "--inside"]).arg(scratch.path());
    if verbose::is_on() {
        program = program.arg("--verbose");
    }
    let mut running = program.spawn_on_a_lifeline()?;
    match wait_for_answer(&mut running, scratch.path()) {
        Ok(reports) => {
            let enter = enter_command(running.id(), root)?;
            Ok(Rehearsed { reports, enter, running, scratch })
        }
        Err(failure) => {
            // Before the directory is removed: its processes may still write there.
            let _ = running.stop(KILL_TIMEOUT);
            Err(failure)
        }
    }
}

impl Rehearsed {
    /// Keeps the cluster running until Ctrl-C.
    ///
    /// # Errors
    /// `Exit::Io` when the namespaces end by themselves.
    pub fn hold(&mut self) -> Result<()> {
        while !interrupt::asked() {
            if let Some(ended) = self.running.ended()? {
                return Err(Failure::io(format!("the rehearsal ended unexpectedly with {ended}")));
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Stops every member and removes every file of it.
    ///
    /// # Errors
    /// `Exit::Io` when something would remain.
    pub fn stop(mut self) -> Result<Vec<Report>> {
        self.running.stop(KILL_TIMEOUT)?;
        disk::remove_directory(self.scratch.path())?;
        Ok(std::mem::take(&mut self.reports))
    }
}

impl Drop for Rehearsed {
    fn drop(&mut self) {
        // The fields are dropped after this, and the directory is removed with them.
        let _ = self.running.stop(KILL_TIMEOUT);
    }
}

fn write_order(bundles: &[Bundle], options: &Rehearsal, root: bool, scratch: &Scratch) -> Result<()> {
    let pem = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ordered = bundles.iter().zip(&options.strangers).map(|(bundle, stranger)| Ordered {
        bundle: std::path::absolute(&bundle.path).unwrap_or_else(|_| bundle.path.clone()),
        stranger: stranger.as_ref().map(|s| (pem(&s.certificate), pem(&s.key))),
        snapshot: options.snapshot.clone().filter(|_| bundles.len() == 1),
        leaf_life: options.leaf_life.filter(|_| bundles.len() == 1),
    });
    let order = Request {
        bundles: ordered.collect(),
        deadline_seconds: options.deadline.as_secs(),
        quiet: options.quiet,
        root,
        now: options.now.seconds(),
    };
    let json =
        serde_json::to_vec(&order).map_err(|error| Failure::io(format!("writing the order: {error}")))?;
    disk::write_whole(&inside::order_file(scratch.path()), &json, Mode::SECRET)?;
    disk::write_whole(&inside::spare_file(scratch.path()), &[0; SPARE_BYTES], Mode::SECRET)
}

fn wait_for_answer(running: &mut Running, scratch: &Path) -> Result<Vec<Report>> {
    let file = inside::answer_file(scratch);
    loop {
        interrupt::check()?;
        let ended = running.ended()?;
        // In this order, so that an answer written just before the end is still read.
        if disk::look(&file)?.is_some() {
            return read_answer(&file);
        }
        // unshare(1) ends with 1 where the kernel refuses; the inner half ends with another code if it cannot answer.
        if let Some(ended) = ended.filter(|ended| *ended != Ended::Code(1)) {
            return Err(Failure::io(format!("the rehearsal ended early, without an answer ({ended})")));
        }
        if let Some(ended) = ended {
            return Err(Failure::io(format!(
                "the namespaces of the rehearsal were not made, or ended early ({ended}); without root it needs \
                 user namespaces: see user.max_user_namespaces and \
                 kernel.apparmor_restrict_unprivileged_userns in `sysctl -a`, or run it as root"
            )));
        }
        thread::sleep(POLL_INTERVAL);
    }
}

fn read_answer(file: &Path) -> Result<Vec<Report>> {
    let answer = serde_json::from_slice(&disk::read(file, inside::MAX_MESSAGE_BYTES)?)
        .map_err(|error| Failure::io(format!("reading the rehearsal's answer: {error}")))?;
    match answer {
        Answer::Reports(reports) => Ok(reports),
        Answer::Failed { exit, text } => {
            let all = [Exit::Usage, Exit::Untrusted, Exit::Io, Exit::Unsafe, Exit::Locked, Exit::Interrupted];
            let exit = all.into_iter().find(|one| *one as u8 == exit).unwrap_or(Exit::Wrong);
            Err(Failure::new(exit, text))
        }
    }
}

fn enter_command(unshare: u32, root: bool) -> Result<String> {
    // proc_pid_task_children(5): unshare has one child, which is process 1 in the namespace.
    let children = disk::read(Path::new(&format!("/proc/{unshare}/task/{unshare}/children")), 4096)?;
    let inner = String::from_utf8_lossy(&children).trim().to_owned();
    let user = if root { "" } else { " --user --preserve-credentials" };
    Ok(format!("nsenter --target {inner}{user} --net"))
}
