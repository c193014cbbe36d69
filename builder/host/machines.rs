//! `up`, `status` and `down`: a virtual machine for every node of a bundle.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::accel::{self, Accel};
use super::driver::Left;
use super::follow::{self, Begun, Glimpse, Member, Phase, Progress, Voice};
use super::record::{Connect, DriverName, Record};
use super::state::{self, State};
use super::{drivers, emulator};
use crate::base::System;
use crate::bundle::{Bundle, MANIFEST, MAX_MANIFEST_BYTES};
use crate::cluster::Etcdctl;
use crate::disk::{self, Scratch};
use crate::failure::{Exit, Failure, Result};
use crate::parallel;
use crate::values::{Carrier, ClusterName, Digest, Mode, NodeName};

/// How many lines of a console are shown of a node that did not make it.
const TAIL: usize = 12;

/// What is asked of `up`.
pub struct Order<'a> {
    pub bundle: &'a Bundle,
    /// What the machines are started from.
    pub system: &'a System,
    pub driver: DriverName,
    pub carrier: Carrier,
    pub accel: Accel,
    pub connect: Connect,
    /// The nodes whose machines are started; empty: all.
    pub only: &'a [NodeName],
    /// How long the cluster may take to form; zero: nobody waits for it.
    pub deadline: Duration,
    pub quiet: bool,
}

/// Where a bundle's machines stand.
#[derive(Serialize)]
pub struct Standing {
    pub cluster: ClusterName,
    pub driver: DriverName,
    pub carrier: Carrier,
    pub accel: Accel,
    /// From the beginning of `up` until the last member was healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Whether every member that was asked for serves.
    pub formed: bool,
    pub nodes: Vec<Node>,
}

#[derive(Serialize)]
pub struct Node {
    pub name: NodeName,
    pub address: std::net::IpAddr,
    pub phase: Phase,
    /// Since when, from the beginning of `up`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What its own units have last said, for nodes that have not formed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// The end of its console, for nodes that have not formed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub console: Vec<String>,
    /// Whether `up` was to start it.
    #[serde(skip)]
    pub asked: bool,
}

/// Starts the machines that do not run yet and follows them until the cluster has formed.
///
/// # Errors
/// `Exit::Usage` when the bundle is not for this carrier; `Exit::Unsafe` when other machines or networks are in the
/// way; `Exit::Io` when this machine does not let it. A cluster that does not form in time is in the result.
pub fn up(order: &Order) -> Result<Standing> {
    let Order { bundle, carrier, .. } = order;
    let manifest = &bundle.manifest;
    if !manifest.carriers.contains(carrier) {
        let has: Vec<_> = manifest.carriers.iter().map(ToString::to_string).collect();
        let reason = format!(
            "the bundle was built without {}; it has {}: choose with --carrier, or build it with another [bundle] carriers",
            carrier,
            has.join(", ")
        );
        return Err(Failure::new(Exit::Usage, reason));
    }
    let scratch = Scratch::swept("up")?;
    let etcdctl = Etcdctl::new(&bundle.path, manifest, scratch.path())?;
    let mut voice = Voice::new(order.quiet);
    let (accel, why) = accel::choose(order.accel, &emulator::find(manifest.etcd.arch)?)?;
    if let Some(why) = why {
        voice.say(format_args!("no guest runs in KVM here ({why}): the machines are emulated"));
    }
    let own = state::directory(&bundle.path)?;
    let directory = State::open(bundle)?.map_or_else(|| own.clone(), |state| state.directory);
    if directory != own {
        voice.say(format_args!(
            "the machines are in {}, as they were before the bundle was renamed",
            directory.display()
        ));
    }
    disk::make_directories(&directory, Mode::SECRET_DIRECTORY)?;
    let _lock = state::lock(&directory)?;
    let driver = drivers::named(&order.driver)?;
    let wanted = Record::wanted(manifest, order.driver.clone(), *carrier, accel, order.connect.clone());
    let mut state = State::begin(bundle, wanted, driver.has_address())?;
    let members = follow::members(manifest)?;
    let progress = start(&mut state, order, &mut voice)
        .and_then(|begun| {
            follow::follow(&members, &etcdctl, &mut state, begun, glimpse, order.deadline, &mut voice)
        })
        // Wherever it was: what runs by now goes on.
        .map_err(|failure| match failure.exit() {
            Exit::Interrupted => follow::interrupted(),
            _ => failure,
        })?;
    let mut standing = standing(&state, bundle, &progress, order.only)?;
    let asked = standing.nodes.iter().zip(&progress).filter(|(node, _)| node.asked);
    let last = asked.map(|(_, one)| one.at.as_secs_f64()).fold(0.0, f64::max);
    standing.seconds = standing.formed.then_some(last);
    for (node, one) in standing.nodes.iter_mut().zip(&progress) {
        node.seconds = Some(one.at.as_secs_f64());
    }
    Ok(standing)
}

/// Whether a node is among those that are asked for: all where none is named.
fn is_asked(only: &[NodeName], node: &NodeName) -> bool {
    only.is_empty() || only.contains(node)
}

/// Starts the machines that are asked for and do not run.
fn start(state: &mut State, order: &Order, voice: &mut Voice) -> Result<Begun> {
    let bundle = order.bundle;
    let nodes = &bundle.manifest.nodes;
    let made = Made { bundle: bundle_digest(bundle)?, system: order.system.identity()? };
    let driver = drivers::named(&state.record.driver)?;
    driver.create(state, bundle)?;
    let mut running = Vec::new();
    for node in nodes {
        running.push(runs(state, &node.name)?);
    }
    let asked: Vec<_> = nodes.iter().map(|node| is_asked(order.only, &node.name)).collect();
    let starts = |at: &usize| asked[*at] && !running[*at];
    let absent: Vec<_> = (0..nodes.len()).filter(starts).collect();
    made.compare(state, order, &running, &absent, voice)?;
    if !running.contains(&true) {
        driver.share(state, bundle, order.system)?;
    }
    let names: Vec<_> = nodes.iter().map(|node| &node.name).collect();
    let first = |runs: &bool| if *runs { Phase::Started } else { Phase::Off };
    let mut progress: Vec<_> =
        running.iter().map(|runs| Progress::new(first(runs), voice.elapsed(), None)).collect();
    for at in &absent {
        progress[*at] = Progress::new(Phase::Defined, voice.elapsed(), None);
        voice.tell(&names, &progress, *at);
        let started = state.record.nodes.entry(nodes[*at].name.clone()).or_default();
        (started.bundle, started.system) = (Some(made.bundle), Some(made.system));
    }
    state.save()?;
    // Side by side: most of a start is waiting for programs, and members wait for one another.
    let state = &*state;
    parallel::each(&absent, absent.len(), |at| driver.start(state, bundle, order.system, &nodes[*at]))?;
    for at in absent {
        progress[at] = Progress::new(Phase::Started, voice.elapsed(), None);
    }
    Ok(Begun { progress, asked })
}

fn bundle_digest(bundle: &Bundle) -> Result<Digest> {
    Ok(Digest::of(&disk::read(&bundle.path.join(MANIFEST), MAX_MANIFEST_BYTES)?))
}

/// What machines are started from now.
struct Made {
    bundle: Digest,
    system: Digest,
}

impl Made {
    /// Says what has changed since the machines were last started.
    ///
    /// # Errors
    /// `Exit::Unsafe` when some run on another base system than others are to be started from.
    fn compare(
        &self,
        state: &State,
        order: &Order,
        running: &[bool],
        absent: &[usize],
        voice: &Voice,
    ) -> Result<()> {
        let nodes = &order.bundle.manifest.nodes;
        let started = |at: usize| state.record.nodes.get(&nodes[at].name);
        let names = |all: Vec<usize>| {
            all.into_iter().map(|at| nodes[at].name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let other_bundle =
            |at: &usize| started(*at).and_then(|one| one.bundle).is_some_and(|one| one != self.bundle);
        let other_system =
            |at: &usize| started(*at).and_then(|one| one.system).is_some_and(|one| one != self.system);
        let run = || (0..nodes.len()).filter(|at| running[*at]);
        let path = order.bundle.path.display();

        let on_another: Vec<_> = run().filter(other_system).collect();
        if !on_another.is_empty() && !absent.is_empty() {
            return Err(Failure::unsafe_to(format!(
                "the base system has changed since {} was started, and machines of one cluster run on one; stop them \
                 with kiln down {path}, which keeps their disks, and start all with kiln up",
                names(on_another)
            )));
        }
        let old: Vec<_> = run().filter(other_bundle).collect();
        if !old.is_empty() {
            voice.warn(format_args!(
                "the bundle has changed since {} was started, and a machine that runs keeps what it was started with; \
                 kiln down {path} and kiln up {path} start all from the new one",
                names(old)
            ));
        }
        let old: Vec<_> = absent.iter().copied().filter(other_bundle).collect();
        if !old.is_empty() {
            voice.warn(format_args!(
                "the bundle has changed since {} was last started; the disks keep what etcd has written",
                names(old)
            ));
        }
        let old: Vec<_> = absent.iter().copied().filter(other_system).collect();
        if !old.is_empty() && order.system.image()?.is_some() {
            voice.warn(format_args!(
                "the base system has changed since {} was last started; system disks stay as they were made",
                names(old)
            ));
        }
        Ok(())
    }
}

fn glimpse(state: &State, node: &NodeName) -> Result<Glimpse> {
    Ok(Glimpse { runs: runs(state, node)?, said: state.said(node) })
}

/// Whether the machine of a node runs.
pub fn runs(state: &State, node: &NodeName) -> Result<bool> {
    drivers::named(&state.record.driver)?.runs(state, node)
}

fn standing(state: &State, bundle: &Bundle, progress: &[Progress], only: &[NodeName]) -> Result<Standing> {
    let mut nodes = Vec::new();
    for (node, one) in bundle.manifest.nodes.iter().zip(progress) {
        let console = match one.phase {
            Phase::Formed => Vec::new(),
            // A console that cannot be read must not hide the rest.
            _ => state.console_end(&node.name, TAIL).unwrap_or_else(|failure| vec![failure.to_string()]),
        };
        let (name, address, said) = (node.name.clone(), node.address, one.said.clone());
        let asked = is_asked(only, &name);
        nodes.push(Node { name, address, phase: one.phase, seconds: None, said, console, asked });
    }
    Ok(Standing {
        cluster: bundle.manifest.cluster.name.clone(),
        driver: state.record.driver.clone(),
        carrier: state.record.carrier,
        accel: state.record.accel,
        seconds: None,
        formed: nodes.iter().all(|node| !node.asked || node.phase == Phase::Formed),
        nodes,
    })
}

/// Where each machine of a bundle stands now.
///
/// # Errors
/// `Exit::Wrong` when there are none.
pub fn status(bundle: &Bundle) -> Result<Standing> {
    let state = State::need(bundle)?;
    let scratch = Scratch::swept("status")?;
    let etcdctl = Etcdctl::new(&bundle.path, &bundle.manifest, scratch.path())?;
    let members = follow::members(&bundle.manifest)?;
    let ask = |member: &Member| -> Result<Progress> {
        let Glimpse { runs, said } = glimpse(&state, &member.name)?;
        let phase = if runs { member.ask(&etcdctl) } else { Phase::Off };
        Ok(Progress::new(phase, Duration::ZERO, said))
    };
    let progress = parallel::each(&members, members.len(), ask)?;
    // After up --no-wait nobody else has seen it. Another run that holds the lock is up itself, which remembers.
    if let Ok(_lock) = state::lock(&state.directory) {
        let mut state = State::need(bundle)?;
        for (member, _) in members.iter().zip(&progress).filter(|(_, one)| one.phase == Phase::Formed) {
            state.note_formed(&member.name)?;
        }
    }
    standing(&state, bundle, &progress, &[])
}

/// What `down` has left.
pub struct Gone {
    /// Where the disks are, or were.
    pub directory: PathBuf,
    /// The bridge, where other machines use it.
    pub bridge: Option<String>,
    /// What links among the disks point at, which stays.
    pub behind: Vec<PathBuf>,
}

/// Ends the machines and removes their network. Their disks stay, unless `purge`.
///
/// # Errors
/// `Exit::Unsafe` when the disks that are to be removed are another cluster's; `Exit::Io` when something of them is left.
pub fn down(bundle: &Bundle, purge: bool) -> Result<Gone> {
    let _lock = state::lock(&State::need(bundle)?.directory)?;
    let mut state = State::need(bundle)?;
    let (names, cluster) = (&state.record.names, &bundle.manifest.cluster);
    if purge && names.id != cluster.id {
        return Err(Failure::unsafe_to(format!(
            "{} has the disks of cluster {} with the ID {}, and {} is cluster {} with the ID {}; without --purge, \
             kiln down stops the machines and keeps their disks",
            state.directory.display(),
            names.cluster,
            names.id,
            bundle.path.display(),
            cluster.name,
            cluster.id
        )));
    }
    let to_forget = purge.then(|| state.to_forget(&bundle.manifest)).transpose()?;
    let Left { laid, bridge } = drivers::named(&state.record.driver)?.destroy(&state, bundle, purge)?;
    let directory = state.directory.clone();
    if let Some(held) = to_forget {
        return Ok(Gone { behind: state.forget(&held)?, directory, bridge });
    }
    state.record.laid = laid;
    state.save()?;
    Ok(Gone { directory, bridge, behind: Vec::new() })
}
