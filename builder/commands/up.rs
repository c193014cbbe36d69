//! `kiln up`, `kiln status` and `kiln console`.

use std::io::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::inputs;
use super::output::Output;
use super::programs;
use crate::artifact::EtcdProgram;
use crate::base::System;
use crate::bundle::{Bundle, Kit};
use crate::carrier;
use crate::causes::{Fault, Line};
use crate::cli;
use crate::disk::{self, Follow};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::host::{self, ClusterStatus, Linked, MachinesRecord, Plain, State, UpRequest};
use crate::interrupt;
use crate::values::{Carrier, counted};

const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The time between two checks whether a machine runs: virsh takes a tenth of a second.
const MACHINE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

pub fn run(args: &cli::Up, out: &Output) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let there = State::open(&bundle)?;
    start(args, &bundle, there.as_ref(), out).map_err(|failure| match there {
        // An earlier run may have started some, wherever this one was interrupted.
        Some(state) if state.record.is_laid() => failure.leaving(host::LEFT_RUNNING),
        _ => failure,
    })
}

fn start(args: &cli::Up, bundle: &Bundle, there: Option<&State>, out: &Output) -> Result<()> {
    refuse_second(bundle)?;
    // Before anything is asked for that would not help.
    let linked = Linked::new(bundle)?;
    bundle.check_bytes()?;
    let kit = kit(args, bundle)?;
    // Defaults to the driver and carrier of the first start; a different choice is refused later.
    let there = there.map(|state| &state.record);
    let driver = args.driver.clone().or(there.map(|there| there.driver.clone()));
    let driver = driver.unwrap_or_else(|| host::usual_driver(&bundle.manifest, &args.connect));
    let carrier =
        args.carrier.or(there.map(|there| there.carrier)).unwrap_or_else(carrier::of_machines_by_default);
    let placed = host::places(&bundle.manifest, &args.connect, there)?;
    let base = base_path(args, carrier, bundle, there)?;
    let system = System::open(&base, carrier)?;
    for node in &args.node {
        bundle.node(node)?;
    }
    programs::check_aloud(bundle, &[EtcdProgram::Etcdctl], &args.trust, out)?;
    let status = host::up(&UpRequest {
        linked,
        system: &system,
        base,
        driver,
        carrier,
        accel: args.accel,
        placed,
        kit,
        only: &args.node,
        deadline: if args.no_wait { Duration::ZERO } else { Duration::from_secs(args.deadline) },
        quiet: out.is_quiet(),
        warn: &|text| out.warn(text),
    })?;
    if args.json {
        out.json(&status)?;
    } else if let Some(seconds) = status.seconds {
        let formed = members(&status, |node| node.phase == host::Phase::Formed);
        out.print(format_args!("{}: {formed} formed after {seconds:.1} s", status.cluster))?;
    } else if args.no_wait {
        let started = members(&status, |node| node.asked);
        out.print(format_args!("{}: {started} started", status.cluster))?;
    }
    if args.no_wait {
        return Ok(());
    }
    let is = |phase| status.nodes.iter().any(|node| node.asked && node.phase == phase);
    let heading = if is(host::Phase::Blocked) {
        "a node is blocked".to_owned()
    } else if is(host::Phase::Off) {
        "some VMs do not run".to_owned()
    } else {
        format!("after {} s, some members do not serve", args.deadline)
    };
    conclude(&status, &heading)
}

/// What members begin with that have none.
///
/// # Errors
/// `Exit::Usage` where it is of another bundle, or too large for the VMs.
fn kit(args: &cli::Up, bundle: &Bundle) -> Result<Option<Kit>> {
    let Some(directory) = &args.restore else { return Ok(None) };
    let kit = Kit::open(directory, bundle)?;
    let largest =
        bundle.manifest.nodes.iter().filter_map(|node| kit.node(&node.name)).map(|one| one.size).max();
    // As kiln-node wants it: a copy, the database twice, and segments of its log; a file system takes a part as well.
    let needed = (3 * (largest.unwrap_or(0) >> 20) + 256) * 10 / 9;
    let there = u64::from(bundle.manifest.machine().data_disk_mib);
    match needed <= there {
        true => Ok(Some(kit)),
        false => Err(Failure::new(
            Exit::Usage,
            format!(
                "the data disks of new VMs have {there} MiB, and this snapshot needs {needed} MiB; set [machine] data-disk-mib, \
                 and build {} again",
                bundle.path.display()
            ),
        )),
    }
}

/// # Errors
/// `Exit::Usage` for a cluster that brings no network of its own: its machines are those of another bundle.
fn refuse_second(bundle: &Bundle) -> Result<()> {
    let cluster = &bundle.manifest.cluster;
    match cluster.instance.owns_host() {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Usage,
            format!(
                "the cluster {} is the instance {} on machines that another cluster sets up, so it cannot boot by itself; start \
                 the bundle of the other one, and unpack this one's nodes/NODE/overlay.tar.gz there",
                cluster.name, cluster.instance
            ),
        )),
    }
}

/// `3 members`, or `2 of 3 members` when only some are counted.
fn members(status: &ClusterStatus, is_meant: impl Fn(&&host::NodeStatus) -> bool) -> String {
    let (all, meant) = (status.nodes.len(), status.nodes.iter().filter(is_meant).count());
    let members = counted(all, "member");
    if meant == all { members } else { format!("{meant} of {members}") }
}

pub fn status(args: &cli::Status, out: &Output) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    programs::check_aloud(&bundle, &[EtcdProgram::Etcdctl], &args.trust, out)?;
    let status = host::status(&bundle)?;
    if args.json {
        out.json(&status)?;
    } else {
        let lines = status.nodes.iter().map(|node| {
            let said = node.said.as_ref().map_or(String::new(), |said| format!("  {said}"));
            format!("{}  {}  {}{said}", node.name, node.address, node.phase)
        });
        out.print(lines.collect::<Vec<_>>().join("\n"))?;
    }
    let heading = match status.nodes.iter().all(|node| node.phase == host::Phase::Off) {
        true => format!("all VMs are off; start them with kiln up {}", args.bundle.display()),
        false => "some members do not serve".to_owned(),
    };
    let concluded = conclude(&status, &heading);
    if status.unreachable.is_empty() {
        return concluded;
    }
    let states = concluded.err().map(|failure| format!("\n{failure}")).unwrap_or_default();
    Err(Failure::io(status.unreachable.join("\n") + &states))
}

/// Prints the state of each node, with the end of its console.
fn conclude(status: &ClusterStatus, heading: &str) -> Result<()> {
    if status.formed {
        return Ok(());
    }
    let mut text = heading.to_owned();
    for node in &status.nodes {
        text.push_str(&format!("\n{}: {}", node.name, node.phase));
        if node.phase != host::Phase::Formed {
            text.push_str(if node.console.is_empty() {
                "; its console is empty"
            } else {
                "; its console ends"
            });
        }
        node.console.iter().for_each(|line| text.push_str(&format!("\n  | {line}")));
        let errors = node.console.iter().filter_map(|line| Line::of_console(line)).map(|line| line.error());
        if let Some(fault) = Fault::logged_in(errors) {
            text.push_str(&format!("\n  likely cause: {} {}", fault.cause(), fault.way_out()));
        }
    }
    Err(Failure::wrong(text))
}

/// The path from the command line, else that of the VMs that are there, else the profile's, else the carrier's default.
fn base_path(
    args: &cli::Up,
    carrier: Carrier,
    bundle: &Bundle,
    there: Option<&MachinesRecord>,
) -> Result<PathBuf> {
    if let Some(base) = &args.base {
        return inputs::bases().named(base);
    }
    if let Some(base) = there.and_then(|there| there.base.as_ref())
        && disk::look(base.path())?.is_some()
    {
        return Ok(base.path().to_owned());
    }
    let profile = bundle.manifest.machine.as_ref().and_then(|machine| machine.base.as_ref());
    let name = profile.map_or(carrier.base().unwrap_or_default(), |base| base.as_str());
    let bases = inputs::bases();
    let directory = bases.directory(name);
    match disk::look(&directory)? {
        Some(_) => Ok(directory),
        None => Err(bases.missing(Exit::Usage, name)),
    }
}

/// Prints the output of a machine's console and follows it until Ctrl-C, or until the machine stops.
pub fn console(args: &cli::Console) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    bundle.node(&args.node)?;
    let state = State::need(&bundle)?;
    let mut follow = Follow::new(&state.console(&args.node));
    let mut plain = Plain::default();
    let mut looked: Option<Instant> = None;
    let mut runs = true;
    while !interrupt::asked() {
        // Checked before reading, so that its last output is still read.
        if looked.is_none_or(|looked| looked.elapsed() >= MACHINE_CHECK_INTERVAL) {
            runs = host::runs(&state, &args.node)?;
            host::hear(&state, &args.node)?;
            looked = Some(Instant::now());
        }
        let more = follow.more()?;
        if more.anew {
            plain = Plain::default();
        }
        let is_end = more.bytes.is_empty();
        print(&plain.feed(&more.bytes))?;
        match (is_end, runs) {
            (true, false) => return Ok(()),
            (true, true) => thread::sleep(POLL_INTERVAL),
            (false, _) => {}
        }
    }
    Ok(())
}

fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::unheard()),
        other => other.doing(|| "writing to standard output".into()),
    }
}
