//! Watches members from outside: whether the machine runs, what its console prints, whether its client port answers,
//! and whether etcd serves.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::display::Display;
use super::progress::{NodeProgress, Phase};
use super::state::State;
use crate::bundle::Manifest;
use crate::cluster::{self, Etcdctl, Patience, StatusRow};
use crate::failure::{Exit, Failure, Result};
use crate::interrupt;
use crate::parallel;
use crate::values::NodeName;

/// The time between two requests to a member: etcdctl takes a tenth of a second of processor time, which an emulated
/// machine beside it could use.
const ASK_INTERVAL: Duration = Duration::from_millis(300);

/// A member on this machine's own bridge answers within a millisecond, unless its kernel is still booting.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The shortest and the longest time between two looks at the machines and their consoles.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const MAX_LOOK_INTERVAL: Duration = Duration::from_secs(15);

/// How long a host may not answer before that ends the run: a connection of ssh that breaks says nothing about the
/// machines.
const BLINDNESS_LIMIT: Duration = Duration::from_secs(60);

/// A member to query.
pub struct Member {
    pub name: NodeName,
    endpoint: String,
    socket: Option<SocketAddr>,
    /// Of a restored generation: the cluster and the member, because those of the generation before have the same
    /// addresses and certificates.
    ids: Option<(u64, u64)>,
}

/// # Errors
/// `Exit::Wrong` when a node of the manifest has no client URL.
pub fn members(manifest: &Manifest) -> Result<Vec<Member>> {
    let endpoints = cluster::endpoints(manifest)?;
    let members = manifest.nodes.iter().zip(endpoints).map(|(node, endpoint)| Member {
        name: node.name.clone(),
        socket: endpoint.trim_start_matches("https://").parse().ok(),
        ids: manifest.cluster.restored.as_ref().map(|_| (manifest.cluster.id.0, node.member_id.0)),
        endpoint,
    });
    Ok(members.collect())
}

impl Member {
    /// The phase of a member whose machine runs. etcdctl has the patience to use.
    pub fn ask(&self, etcdctl: &Etcdctl) -> Phase {
        let knocked = self.socket.map(|socket| cluster::connect(socket, CONNECT_TIMEOUT));
        match knocked {
            Some(Err(_)) => Phase::Booting,
            _ if etcdctl.health(&self.endpoint).is_ok() && self.is_itself(etcdctl) => Phase::Formed,
            _ => Phase::EtcdStarted,
        }
    }

    fn is_itself(&self, etcdctl: &Etcdctl) -> bool {
        let Some(own) = self.ids else { return true };
        let rows = etcdctl.ask::<Vec<StatusRow>>(&self.endpoint, &["endpoint", "status"]).unwrap_or_default();
        rows.iter().any(|row| (row.status.header.cluster_id, row.status.header.member_id) == own)
    }
}

/// The state of a machine, as its host sees it.
pub struct Observed {
    pub runs: bool,
    pub said: Option<String>,
}

/// Returns the state of each of some machines.
pub type Look = fn(&State, &[&NodeName]) -> Result<Vec<Observed>>;

/// The state of the nodes at the start.
pub struct Begun {
    pub progress: Vec<NodeProgress>,
    /// Whether to wait for each node.
    pub asked: Vec<bool>,
}

/// Follows the members until each awaited one has settled, or the deadline has passed; returns the progress of all.
/// That a member serves is recorded as soon as it is seen.
///
/// # Errors
/// `Exit::Interrupted`; `Exit::Io` when the state of the machines cannot be determined for a minute.
pub fn follow(
    members: &[Member],
    etcdctl: &Etcdctl,
    state: &mut State,
    begun: Begun,
    look: Look,
    deadline: Duration,
    display: &mut Display<'_>,
) -> Result<Vec<NodeProgress>> {
    let stop = AtomicBool::new(false);
    let until = Instant::now() + deadline.saturating_sub(display.elapsed());
    let (teller, told) = mpsc::channel();
    thread::scope(|scope| {
        for (at, member) in members.iter().enumerate() {
            let (teller, asked_to_stop) = (teller.clone(), &stop);
            let begun = parallel::need(scope, move || {
                let mut patience = Patience::USUAL;
                while !asked_to_stop.load(Ordering::Relaxed) {
                    let left = until.saturating_duration_since(Instant::now());
                    let phase = member.ask(&etcdctl.with(patience.within(left)));
                    if teller.send((at, phase)).is_err() || phase == Phase::Formed {
                        return;
                    }
                    // Six emulated members were never seen to serve: each handshake that was given up after the usual
                    // time had cost them more than that.
                    if phase == Phase::EtcdStarted {
                        patience = patience.more();
                    }
                    thread::sleep(ASK_INTERVAL);
                }
            });
            if let Err(failure) = begun {
                stop.store(true, Ordering::Relaxed);
                return Err(failure);
            }
        }
        let names = members.iter().map(|member| &member.name).collect();
        let Begun { progress, asked } = begun;
        let runs = progress.iter().map(|one| one.phase != Phase::Off).collect();
        let outcome =
            Watch { names, progress, asked: &asked, runs, state, display }.until(deadline, &told, look);
        stop.store(true, Ordering::Relaxed);
        outcome
    })
}

/// What an interruption leaves once machines may run.
pub const LEFT_RUNNING: &str =
    "started VMs keep running: kiln status shows their state, kiln up resumes, kiln down stops them";

/// The error for Ctrl-C once machines may run: they keep running.
pub fn interrupted() -> Failure {
    Failure::interrupted().leaving(LEFT_RUNNING)
}

struct Watch<'a, 'd> {
    names: Vec<&'a NodeName>,
    progress: Vec<NodeProgress>,
    /// Whether to wait for each node.
    asked: &'a [bool],
    /// Whether its machine ran at the last check.
    runs: Vec<bool>,
    state: &'a mut State,
    display: &'a mut Display<'d>,
}

impl Watch<'_, '_> {
    fn until(
        mut self,
        deadline: Duration,
        told: &mpsc::Receiver<(usize, Phase)>,
        look: Look,
    ) -> Result<Vec<NodeProgress>> {
        let (mut look_again, mut looked) = (Instant::now(), Instant::now());
        while !self.is_settled() && self.display.elapsed() < deadline {
            if interrupt::asked() {
                return Err(interrupted());
            }
            self.display.tick(&self.names, &self.progress, self.asked);
            match told.recv_timeout(POLL_INTERVAL) {
                Ok((at, phase)) => {
                    let said = self.progress[at].said.clone();
                    self.step(at, phase, said)?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let begun = Instant::now();
            if begun >= look_again {
                match look(self.state, &self.names) {
                    Ok(all) => {
                        looked = Instant::now();
                        for (at, Observed { runs, said }) in all.into_iter().enumerate() {
                            self.runs[at] = runs;
                            self.step(at, self.progress[at].phase, said)?;
                        }
                    }
                    Err(failure) if failure.exit() == Exit::Interrupted => return Err(failure),
                    Err(failure) if looked.elapsed() >= BLINDNESS_LIMIT => return Err(failure),
                    Err(_) => {}
                }
                // Two calls of virsh per machine: at most a tenth of the processors that the machines run on.
                let pause = (begun.elapsed() * 9).clamp(LOOK_INTERVAL, MAX_LOOK_INTERVAL);
                look_again = Instant::now() + pause;
            }
        }
        Ok(self.progress)
    }

    fn is_settled(&self) -> bool {
        self.progress.iter().zip(self.asked).all(|(progress, asked)| !asked || progress.is_settled())
    }

    /// Records the state of a node, and reports it if it is new. A port that does not answer looks the same whether
    /// the machine boots or is off.
    fn step(&mut self, at: usize, phase: Phase, said: Option<String>) -> Result<()> {
        let phase = match (self.runs[at], phase) {
            (false, _) => Phase::Off,
            (true, Phase::Off | Phase::Started) => Phase::Booting,
            (true, phase) => phase,
        };
        let now = NodeProgress::new(phase, self.display.elapsed(), said);
        let was = &self.progress[at];
        if was.phase == Phase::Formed || (now.phase, &now.said) == (was.phase, &was.said) {
            return Ok(());
        }
        if now.phase == Phase::Formed {
            self.state.note_formed(self.names[at])?;
        }
        self.progress[at] = now;
        self.display.tell(&self.names, &self.progress, at);
        Ok(())
    }
}
