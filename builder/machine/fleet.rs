//! `up`, `status` and `down`: a virtual machine for every node of a bundle.

use std::time::Duration;

use serde::Serialize;

use super::accel::{self, Accel};
use super::base::Carrier;
use super::follow::{self, Glimpse, Member, Phase, Progress, Voice};
use super::libvirt::Libvirt;
use super::state::{self, Driver, State};
use super::system::System;
use super::{bridge, qemu};
use crate::bundle::Bundle;
use crate::disk::{self, Scratch};
use crate::failure::{Exit, Failure, Result};
use crate::threads;
use crate::values::Mode;
use crate::verify::Etcdctl;

/// How many lines of a console are shown of a node that did not make it.
const TAIL: usize = 12;

/// What is asked of `up`.
pub struct Order<'a> {
    pub bundle: &'a Bundle,
    /// What the machines are started from.
    pub system: &'a System,
    pub driver: Driver,
    pub carrier: Carrier,
    pub accel: Accel,
    /// libvirt's address.
    pub connect: &'a str,
    /// The nodes whose machines are started; empty: all.
    pub only: &'a [String],
    /// How long the cluster may take to form; zero: nobody waits for it.
    pub deadline: Duration,
    pub quiet: bool,
}

/// Where a bundle's machines stand.
#[derive(Serialize)]
pub struct Standing {
    pub cluster: String,
    pub driver: Driver,
    pub carrier: Carrier,
    pub accel: Accel,
    /// From the beginning of `up` until the last member was healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    pub formed: bool,
    pub nodes: Vec<Node>,
}

#[derive(Serialize)]
pub struct Node {
    pub name: String,
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
}

/// Starts the machines that do not run yet and follows them until the cluster has formed.
///
/// # Errors
/// `Exit::Usage` when the bundle is not for this carrier; `Exit::Unsafe` when other machines or networks are in the
/// way; `Exit::Io` when this machine does not let it. A cluster that does not form in time is in the result.
pub fn up(order: &Order) -> Result<Standing> {
    let Order { bundle, carrier, .. } = order;
    let manifest = &bundle.manifest;
    if manifest.carriers.iter().all(|one| one.to_string() != carrier.as_str()) {
        let reason = format!(
            "the bundle was built without {}; it has {}: choose with --carrier, or build it with another [bundle] carriers",
            carrier.as_str(),
            manifest.carriers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        );
        return Err(Failure::new(Exit::Usage, reason));
    }
    let scratch = Scratch::new("up")?;
    let etcdctl = Etcdctl::new(&bundle.path, manifest, scratch.path())?;
    let mut voice = Voice::new(order.quiet);
    let (accel, why) = accel::choose(order.accel, &qemu::find(manifest.etcd.arch)?)?;
    if let Some(why) = why {
        voice.say(format_args!("no guest runs in KVM here ({why}): the machines are emulated"));
    }
    let directory = state::directory(&bundle.path)?;
    disk::make_directories(&directory, Mode::SECRET_DIRECTORY)?;
    let _lock = state::lock(&directory)?;
    let wanted = state::wanted(manifest, order.driver, *carrier, accel, order.connect);
    let mut state = State::begin(&bundle.path, wanted)?;
    start(&mut state, order, &mut voice)?;
    let members = follow::members(manifest)?;
    let progress = follow::follow(&members, &etcdctl, &mut state, glimpse, order.deadline, &mut voice)?;
    let mut standing = standing(&state, bundle, &progress)?;
    standing.seconds =
        standing.formed.then(|| progress.iter().map(|one| one.at.as_secs_f64()).fold(0.0, f64::max));
    for (node, one) in standing.nodes.iter_mut().zip(&progress) {
        node.seconds = Some(one.at.as_secs_f64());
    }
    Ok(standing)
}

fn start(state: &mut State, order: &Order, voice: &mut Voice) -> Result<()> {
    let bundle = order.bundle;
    let nodes = &bundle.manifest.nodes;
    let is_wanted = |name: &str| order.only.is_empty() || order.only.iter().any(|only| only == name);
    if order.driver == Driver::Libvirt {
        if !state.record.defined {
            Libvirt::new(state)?.begin(bundle)?;
            state.record.defined = true;
            state.save()?;
        }
        Libvirt::new(state)?.prepare(bundle)?;
    } else {
        bridge::lay(&state.directory, &bundle.manifest)?;
    }
    let mut absent = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        if !runs(state, &node.name)? {
            absent.push(at);
        }
    }
    if order.driver == Driver::Libvirt && absent.len() == nodes.len() {
        Libvirt::new(state)?.share(bundle, order.system)?;
    }
    absent.retain(|at| is_wanted(&nodes[*at].name));
    let names: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
    let mut progress = vec![Progress::new(Phase::Off, voice.elapsed(), None); names.len()];
    for at in &absent {
        progress[*at] = Progress::new(Phase::Defined, voice.elapsed(), None);
        voice.tell(&names, &progress, *at);
        match order.driver {
            Driver::Qemu => qemu::start(state, bundle, order.system, *at)?,
            Driver::Libvirt => Libvirt::new(state)?.start(bundle, order.system, &nodes[*at].name)?,
        }
    }
    Ok(())
}

fn glimpse(state: &State, node: &str) -> Result<Glimpse> {
    Ok(Glimpse { runs: runs(state, node)?, said: state.said(node) })
}

/// Whether the machine of a node runs.
pub fn runs(state: &State, node: &str) -> Result<bool> {
    Ok(match state.record.driver {
        Driver::Qemu => qemu::running(state, node).is_some(),
        Driver::Libvirt => Libvirt::new(state)?.runs(node)?,
    })
}

fn standing(state: &State, bundle: &Bundle, progress: &[Progress]) -> Result<Standing> {
    let mut nodes = Vec::new();
    for (node, one) in bundle.manifest.nodes.iter().zip(progress) {
        let console = match one.phase {
            Phase::Formed => Vec::new(),
            // A console that cannot be read must not hide the rest.
            _ => state.console_end(&node.name, TAIL).unwrap_or_else(|failure| vec![failure.to_string()]),
        };
        let (name, address, said) = (node.name.to_string(), node.address, one.said.clone());
        nodes.push(Node { name, address, phase: one.phase, seconds: None, said, console });
    }
    Ok(Standing {
        cluster: bundle.manifest.cluster.name.to_string(),
        driver: state.record.driver,
        carrier: state.record.carrier,
        accel: state.record.accel,
        seconds: None,
        formed: progress.iter().all(|one| one.phase == Phase::Formed),
        nodes,
    })
}

/// Where each machine of a bundle stands now.
///
/// # Errors
/// `Exit::Wrong` when there are none.
pub fn status(bundle: &Bundle) -> Result<Standing> {
    let state = State::need(&bundle.path)?;
    let scratch = Scratch::new("status")?;
    let etcdctl = Etcdctl::new(&bundle.path, &bundle.manifest, scratch.path())?;
    let members = follow::members(&bundle.manifest)?;
    let ask = |member: &Member| -> Result<Progress> {
        let Glimpse { runs, said } = glimpse(&state, &member.name)?;
        let phase = if runs { member.ask(&etcdctl) } else { Phase::Off };
        Ok(Progress::new(phase, Duration::ZERO, said))
    };
    let progress: Result<Vec<_>> = std::thread::scope(|scope| {
        let asked: Vec<_> = members.iter().map(|member| threads::beside(scope, || ask(member))).collect();
        asked.into_iter().map(|one| one.join()?).collect()
    });
    let progress = progress?;
    // After up --no-wait nobody else has seen it. Another run that holds the lock is up itself, which remembers.
    if let Ok(_lock) = state::lock(&state.directory) {
        let mut state = State::need(&bundle.path)?;
        for (member, _) in members.iter().zip(&progress).filter(|(_, one)| one.phase == Phase::Formed) {
            state.note_formed(&member.name)?;
        }
    }
    standing(&state, bundle, &progress)
}

/// Ends the machines and removes their network. Their disks stay, unless `purge`.
///
/// # Errors
/// `Exit::Io` when something of them is left.
pub fn down(bundle: &Bundle, purge: bool) -> Result<()> {
    let state = State::need(&bundle.path)?;
    let _lock = state::lock(&state.directory)?;
    match state.record.driver {
        Driver::Qemu => {
            for node in &bundle.manifest.nodes {
                qemu::stop(&state, &node.name)?;
            }
            bridge::clear(&bundle.manifest)?;
        }
        Driver::Libvirt => {
            // Otherwise nothing in libvirt is ours.
            if state.record.defined {
                Libvirt::new(&state)?.clear(bundle, purge)?;
            }
        }
    }
    if purge { state.forget() } else { Ok(()) }
}
