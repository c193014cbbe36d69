//! `up`, `status` and `down`: a virtual machine for every node of a bundle.

use std::time::Duration;

use serde::Serialize;

use super::accel::{self, Accel};
use super::base::{Base, Carrier};
use super::follow::{self, Phase, Progress, Voice};
use super::libvirt::Libvirt;
use super::state::{self, Driver, State};
use super::{bridge, qemu};
use crate::bundle::Bundle;
use crate::disk::{self, Scratch};
use crate::failure::{Exit, Failure, Result};
use crate::values::Mode;
use crate::verify::Etcdctl;

/// How many lines of a console are shown of a node that did not make it.
const TAIL: usize = 12;

/// What is asked of `up`.
pub struct Order<'a> {
    pub bundle: &'a Bundle,
    pub base: &'a Base,
    pub driver: Driver,
    pub carrier: Carrier,
    pub accel: Accel,
    /// libvirt's address.
    pub connect: &'a str,
    /// How long the cluster may take to form.
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
    if manifest.carriers.iter().all(|one| one != carrier.as_str()) {
        let reason = format!(
            "the bundle was built without {}; it has {}: choose with --carrier, or build it with another [bundle] carriers",
            carrier.as_str(),
            manifest.carriers.join(", ")
        );
        return Err(Failure::new(Exit::Usage, reason));
    }
    let scratch = Scratch::new("up")?;
    let etcdctl = Etcdctl::new(&bundle.path, manifest, scratch.path())?;
    let mut voice = Voice::new(order.quiet);
    let (accel, why) = accel::choose(order.accel, &qemu::find(&manifest.etcd.arch)?)?;
    if let Some(why) = why {
        voice.say(format_args!("no guest runs in KVM here ({why}): the machines are emulated"));
    }
    let directory = state::directory(&bundle.path)?;
    disk::make_directories(&directory, Mode::SECRET_DIRECTORY)?;
    let _lock = state::lock(&directory)?;
    let wanted = state::wanted(manifest, order.driver, *carrier, accel, order.connect);
    let mut state = State::begin(&bundle.path, wanted)?;
    start(&mut state, order)?;
    let runs = |name: &str| runs(&state, name);
    let members = follow::members(manifest)?;
    let progress = follow::follow(&members, &etcdctl, &runs, order.deadline, &mut voice)?;
    let formed = members.iter().zip(&progress).filter(|(_, one)| one.phase == Phase::Formed);
    let formed: Vec<_> = formed.map(|(member, _)| member.name.clone()).collect();
    state.record.formed.extend(formed);
    state.save()?;
    let mut standing = standing(&state, bundle, &progress)?;
    standing.seconds =
        standing.formed.then(|| progress.iter().map(|one| one.at.as_secs_f64()).fold(0.0, f64::max));
    for (node, one) in standing.nodes.iter_mut().zip(&progress) {
        node.seconds = Some(one.at.as_secs_f64());
    }
    Ok(standing)
}

fn start(state: &mut State, order: &Order) -> Result<()> {
    let bundle = order.bundle;
    if order.driver == Driver::Libvirt && !state.record.defined {
        Libvirt::new(state)?.begin(bundle)?;
        state.record.defined = true;
        state.save()?;
    }
    match order.driver {
        Driver::Qemu => {
            bridge::lay(&state.directory, &bundle.manifest)?;
            for (at, node) in bundle.manifest.nodes.iter().enumerate() {
                if qemu::running(state, &node.name).is_none() {
                    qemu::start(state, bundle, order.base, at)?;
                }
            }
        }
        Driver::Libvirt => {
            let libvirt = Libvirt::new(state)?;
            libvirt.prepare(bundle)?;
            let mut absent = Vec::new();
            for node in &bundle.manifest.nodes {
                if !libvirt.runs(&node.name)? {
                    absent.push(node);
                }
            }
            if absent.len() == bundle.manifest.nodes.len() {
                libvirt.share(bundle, order.base)?;
            }
            for node in absent {
                libvirt.start(bundle, order.base, &node.name)?;
            }
        }
    }
    Ok(())
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
            _ => state.console_end(&node.name, TAIL)?,
        };
        let (name, address) = (node.name.clone(), node.address);
        nodes.push(Node { name, address, phase: one.phase, seconds: None, console });
    }
    Ok(Standing {
        cluster: bundle.manifest.cluster.name.clone(),
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
    let phases: Result<Vec<Phase>> = std::thread::scope(|scope| {
        let asked: Vec<_> = members
            .iter()
            .map(|member| {
                scope.spawn(|| match runs(&state, &member.name)? {
                    true => Ok(member.ask(&etcdctl)),
                    false => Ok(Phase::Off),
                })
            })
            .collect();
        let lost = |_| Failure::io("a thread that asks a member panicked");
        asked.into_iter().map(|one| one.join().map_err(lost)?).collect()
    });
    let progress: Vec<_> = phases?.into_iter().map(|phase| Progress { phase, at: Duration::ZERO }).collect();
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
