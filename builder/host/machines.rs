//! `up`, `status` and `down`: a virtual machine for every node of a bundle.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::accel::Accel;
use super::cards::Linked;
use super::display::Display;
use super::driver::{Driver, Left};
use super::follow::{self, Begun, Member, Observed};
use super::host_path::HostPath;
use super::memory::Memory;
use super::origin::Origin;
use super::progress::{NodeProgress, Phase};
use super::record::{DriverName, MachinesRecord, Place};
use super::state::{self, Held, State};
use super::status::{ClusterStatus, is_asked, summary};
use super::{drivers, emulator, restore_disk, undo};
use crate::base::System;
use crate::bundle::{Bundle, Kit, Manifest};
use crate::cluster::Etcdctl;
use crate::disk::{self, Scratch};
use crate::failure::{Exit, Failure, Result};
use crate::interrupt;
use crate::parallel;
use crate::values::{Carrier, Connect, Mode, NodeName};

/// The options of `up`.
pub struct UpRequest<'a> {
    pub linked: Linked<'a>,
    /// The system from which the machines are started.
    pub system: &'a System,
    /// Where that is.
    pub base: PathBuf,
    pub driver: DriverName,
    pub carrier: Carrier,
    pub accel: Accel,
    /// As `places` returns it.
    pub placed: (Connect, BTreeMap<NodeName, Place>),
    /// What members are restored from that have not served yet.
    pub kit: Option<Kit>,
    /// The nodes whose machines are started; empty means all.
    pub only: &'a [NodeName],
    /// The time for the cluster to form; zero means not to wait.
    pub deadline: Duration,
    pub quiet: bool,
    /// Receives a warning, which `quiet` does not hide.
    pub warn: &'a dyn Fn(&str),
}

/// Starts the machines that do not run yet and follows them until the cluster has formed.
///
/// # Errors
/// `Exit::Usage` when the bundle is not for this carrier; `Exit::Unsafe` when other machines or networks conflict with
/// it; `Exit::Io` when this machine refuses a step. A cluster that does not form in time is in the result.
pub fn up(request: &UpRequest) -> Result<ClusterStatus> {
    let bundle = request.linked.bundle();
    let manifest = &bundle.manifest;
    check_carrier(manifest, request.carrier)?;
    let scratch = Scratch::swept("up")?;
    let etcdctl = Etcdctl::new(&bundle.path, manifest, scratch.path())?;
    let mut display = Display::new(request.quiet, request.warn);
    let driver = drivers::named(&request.driver)?;
    let wanted = wanted(request, driver, &display)?;
    let own = state::directory(&bundle.path)?;
    let directory = State::open(bundle)?.map_or_else(|| own.clone(), |state| state.directory);
    if directory != own {
        display.say(format_args!(
            "the VMs are in {}, from before the bundle was renamed or moved",
            directory.display()
        ));
    }
    let members = follow::members(manifest)?;
    let is_new = disk::look(&directory)?.is_none();
    disk::make_directories(&directory, Mode::SECRET_DIRECTORY)?;
    let _lock = state::lock(&directory)?;
    let mut state = State::begin(bundle, wanted, driver.has_address())?;
    // Between the look and the lock another run may have made machines, whose disks are not this run's to remove.
    let is_new = is_new && !state.record.is_laid() && state.record.nodes.is_empty();
    if let Err(why) = Memory::of_user().note_machines(state.record.names.id, &state.directory) {
        display.warn(format_args!("if the bundle is moved, Kiln will not find these VMs: {why}"));
    }
    let mut has_started = false;
    let mut is_begun = false;
    let progress = start(&mut state, request, &mut display, &mut has_started)
        .and_then(|begun| {
            is_begun = true;
            follow::follow(&members, &etcdctl, &mut state, begun, observe, request.deadline, &mut display)
        })
        .map_err(|failure| {
            let fresh = undo::Fresh::of(is_new, has_started, is_begun, &failure, &state);
            undo::after(failure, driver, (&state, bundle), fresh, &display)
        })?;
    let mut status = summary(&state, bundle, &progress, request.only)?;
    restore_disk::forget(driver, &mut state, &formed(bundle, &progress))
        .iter()
        .for_each(|why| display.warn(why));
    let asked = status.nodes.iter().zip(&progress).filter(|(node, _)| node.asked);
    let last = asked.map(|(_, one)| one.at.as_secs_f64()).fold(0.0, f64::max);
    status.seconds = status.formed.then_some(last);
    for (node, one) in status.nodes.iter_mut().zip(&progress) {
        node.seconds = Some(one.at.as_secs_f64());
    }
    Ok(status)
}

/// The record of the machines to be made. Nothing is made where this fails.
fn wanted(request: &UpRequest, driver: &dyn Driver, display: &Display) -> Result<MachinesRecord> {
    let manifest = &request.linked.bundle().manifest;
    emulator::check(manifest.etcd.arch)?;
    let (name, placed) = (request.driver.clone(), request.placed.clone());
    // Never `Auto` in a record; replaced below.
    let mut wanted = MachinesRecord::wanted(manifest, name, request.carrier, Accel::Tcg, placed);
    wanted.base = std::path::absolute(&request.base).ok().and_then(|base| HostPath::of(&base));
    // Refused before anything is asked of a libvirt, and again when no other run can change it.
    State::begin(request.linked.bundle(), wanted.clone(), driver.has_address())?;
    driver.check(&wanted, manifest)?;
    let (accel, why) = driver.accel(request.accel, &wanted, manifest)?;
    wanted.accel = accel;
    if let Some(why) = why {
        display.say(format_args!("{why}; the VMs run under emulation, which takes longer"));
    }
    Ok(wanted)
}

fn check_carrier(manifest: &Manifest, carrier: Carrier) -> Result<()> {
    if manifest.carriers.contains(&carrier) {
        return Ok(());
    }
    let has: Vec<_> = manifest.carriers.iter().map(ToString::to_string).collect();
    let reason = format!(
        "the bundle was built without {carrier}; it has {}: choose another --carrier, or change [bundle] carriers and \
         build again",
        has.join(", ")
    );
    Err(Failure::new(Exit::Usage, reason))
}

/// Starts the requested machines that do not run. `has_started` is set as soon as one of them was started.
fn start(
    state: &mut State,
    request: &UpRequest,
    display: &mut Display,
    has_started: &mut bool,
) -> Result<Begun> {
    let bundle = request.linked.bundle();
    let nodes = &bundle.manifest.nodes;
    restore_disk::check(state, bundle, request.kit.as_ref(), request.only)?;
    let origin = Origin::of(bundle, request.system)?;
    let driver = drivers::named(&state.record.driver)?;
    driver.create(state, bundle)?;
    let names: Vec<_> = nodes.iter().map(|node| &node.name).collect();
    let run = driver.running(state, &names)?;
    let running: Vec<_> = names.iter().map(|name| run.contains(*name)).collect();
    let asked: Vec<_> = nodes.iter().map(|node| is_asked(request.only, &node.name)).collect();
    let starts = |at: &usize| asked[*at] && !running[*at];
    let absent: Vec<_> = (0..nodes.len()).filter(starts).collect();
    origin.compare(state, bundle, request.system, &running, &absent, display)?;
    driver.share(state, bundle, request.system, &run.iter().collect::<Vec<_>>())?;
    let first = |runs: &bool| if *runs { Phase::Started } else { Phase::Off };
    let mut progress: Vec<_> =
        running.iter().map(|runs| NodeProgress::new(first(runs), display.elapsed(), None)).collect();
    for at in &absent {
        progress[*at] = NodeProgress::new(Phase::Defined, display.elapsed(), None);
        display.tell(&names, &progress, *at);
    }
    let new = absent.iter().map(|at| names[*at]);
    let restored = restore_disk::make_all(state, request.kit.as_ref(), new)?;
    // Restored below for machines that are not started because of Ctrl-C.
    let before = state.record.nodes.clone();
    for at in &absent {
        let started = state.record.nodes.entry(nodes[*at].name.clone()).or_default();
        (started.bundle, started.system) = (Some(origin.bundle), Some(origin.system));
        started.restores |= restored.contains(&names[*at]);
    }
    state.save()?;
    // In parallel: most of a start is waiting for programs, and members wait for one another.
    let (shared, system) = (&*state, request.system);
    let started = parallel::all(&absent, absent.len(), |at| {
        interrupt::check().ok()?;
        Some(driver.start(shared, bundle, system, &nodes[*at]))
    });
    *has_started = started.iter().any(|done| matches!(done, Some(Ok(()))));
    let unbegun = absent.iter().zip(&started).filter(|(_, done)| done.is_none());
    let unbegun: Vec<_> = unbegun.map(|(at, _)| &nodes[*at].name).collect();
    if !unbegun.is_empty() {
        state.take_back(&unbegun, &before)?;
        return Err(Failure::interrupted());
    }
    started.into_iter().flatten().collect::<Result<()>>().inspect_err(|_| {
        if state.record.accel == Accel::Kvm {
            Memory::of_user().forget_kvm();
        }
    })?;
    for at in absent {
        progress[at] = NodeProgress::new(Phase::Started, display.elapsed(), None);
    }
    Ok(Begun { progress, asked })
}

/// The nodes whose members serve.
fn formed<'b>(bundle: &'b Bundle, progress: &[NodeProgress]) -> Vec<&'b NodeName> {
    let nodes = bundle.manifest.nodes.iter().zip(progress);
    nodes.filter(|(_, one)| one.phase == Phase::Formed).map(|(node, _)| &node.name).collect()
}

fn observe(state: &State, nodes: &[&NodeName]) -> Result<Vec<Observed>> {
    let running = drivers::named(&state.record.driver)?.running(state, nodes)?;
    parallel::each(nodes, nodes.len(), |node| {
        hear(state, node)?;
        Ok(Observed { runs: running.contains(*node), said: state.said(node) })
    })
}

/// Whether the machine of a node runs.
pub fn runs(state: &State, node: &NodeName) -> Result<bool> {
    Ok(drivers::named(&state.record.driver)?.running(state, &[node])?.contains(node))
}

/// Brings what a node's console has printed into its file on this machine, if it is not there by itself.
///
/// # Errors
/// `Exit::Io` when that file cannot be written.
pub fn hear(state: &State, node: &NodeName) -> Result<()> {
    drivers::named(&state.record.driver)?.hear(state, node)
}

/// What each host sees of its machines: `None` for those of a host that does not answer, which is said once.
///
/// # Errors
/// `Exit::Interrupted` once a signal has come.
fn observe_each(state: &State, nodes: &[&NodeName]) -> Result<(Vec<Option<Observed>>, Vec<String>)> {
    let mut hosts: BTreeMap<_, Vec<&NodeName>> = BTreeMap::new();
    nodes.iter().for_each(|node| hosts.entry(state.record.connect_of(node)).or_default().push(node));
    let hosts: Vec<_> = hosts.into_values().collect();
    let answers = parallel::all(&hosts, hosts.len(), |nodes| observe(state, nodes));
    let (mut seen, mut unreachable) = (BTreeMap::new(), Vec::new());
    for (nodes, answer) in hosts.iter().zip(answers) {
        match answer {
            Ok(observed) => seen.extend(nodes.iter().copied().zip(observed)),
            Err(failure) if failure.exit() == Exit::Interrupted => return Err(failure),
            Err(failure) => {
                let names: Vec<_> = nodes.iter().map(|node| node.as_str()).collect();
                unreachable.push(format!("the host of {} does not answer: {failure}", names.join(", ")));
            }
        }
    }
    Ok((nodes.iter().map(|node| seen.remove(node)).collect(), unreachable))
}

/// The current state of each machine of a bundle, as far as their hosts answer.
///
/// # Errors
/// `Exit::Wrong` when there are none.
pub fn status(bundle: &Bundle) -> Result<ClusterStatus> {
    let state = State::need(bundle)?;
    let scratch = Scratch::swept("status")?;
    let etcdctl = Etcdctl::new(&bundle.path, &bundle.manifest, scratch.path())?;
    let members = follow::members(&bundle.manifest)?;
    let names: Vec<_> = members.iter().map(|member| &member.name).collect();
    let (seen, unreachable) = observe_each(&state, &names)?;
    let observed: Vec<_> = members.iter().zip(seen).collect();
    let ask = |(member, seen): &(&Member, Option<Observed>)| -> Result<NodeProgress> {
        let phase = match seen {
            Some(Observed { runs: false, .. }) => Phase::Off,
            Some(Observed { runs: true, .. }) => member.ask(&etcdctl),
            // Its libvirt may be off, and the machine not.
            None => match member.ask(&etcdctl) {
                Phase::Booting => Phase::Unknown,
                phase => phase,
            },
        };
        let said = seen.as_ref().and_then(|seen| seen.said.clone());
        Ok(NodeProgress::new(phase, Duration::ZERO, said))
    };
    let progress = parallel::each(&observed, observed.len(), ask)?;
    // After up --no-wait no run has recorded it yet. If another run holds the lock, that is `up`, which records it
    // itself.
    if let Ok(_lock) = state::lock(&state.directory) {
        let mut state = State::need(bundle)?;
        for (member, _) in members.iter().zip(&progress).filter(|(_, one)| one.phase == Phase::Formed) {
            state.note_formed(&member.name)?;
        }
        // The next run tries again what cannot be removed now: a host may be off.
        let _ = restore_disk::forget(
            drivers::named(&state.record.driver)?,
            &mut state,
            &formed(bundle, &progress),
        );
    }
    Ok(ClusterStatus { unreachable, ..summary(&state, bundle, &progress, &[])? })
}

/// What is left after `down`.
pub struct Gone {
    /// Where the disks are, or were.
    pub directory: PathBuf,
    /// The bridge, if other machines use it.
    pub bridge: Option<String>,
    /// The targets of links among the disks, which are kept.
    pub behind: Vec<PathBuf>,
}

/// Stops the machines and removes their network. Their disks are kept unless `purge`.
///
/// # Errors
/// `Exit::Unsafe` when the disks to be removed are another cluster's; `Exit::Io` when something could not be removed.
pub fn down(mut held: Held, bundle: &Bundle, purge: bool) -> Result<Gone> {
    let state = &mut held.state;
    let (names, cluster) = (&state.record.names, &bundle.manifest.cluster);
    if purge && names.id != cluster.id {
        return Err(Failure::unsafe_to(format!(
            "{} has the disks of cluster {} with the ID {}, and {} is cluster {} with the ID {}; without --purge, \
             kiln down stops the VMs and keeps their disks",
            state.directory.display(),
            names.cluster,
            names.id,
            bundle.path.display(),
            cluster.name,
            cluster.id
        )));
    }
    let nodes = bundle.manifest.nodes.iter().map(|node| &node.name);
    let served: Vec<_> = nodes.filter(|node| state.has_formed(node)).collect();
    let _ = restore_disk::forget(drivers::named(&state.record.driver)?, state, &served);
    let to_forget = purge.then(|| state.to_forget(&bundle.manifest)).transpose()?;
    let Left { laid, bridge } = drivers::named(&state.record.driver)?.destroy(state, bundle, purge)?;
    let directory = state.directory.clone();
    if let Some(held) = to_forget {
        return Ok(Gone { behind: state.forget(&held)?, directory, bridge });
    }
    state.record.laid = laid;
    state.save()?;
    Ok(Gone { directory, bridge, behind: Vec::new() })
}
