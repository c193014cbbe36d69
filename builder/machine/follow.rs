//! Watching members come up, from outside: does the machine run, does its client port answer, does etcd serve.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::bundle::Manifest;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::verify::{self, Etcdctl};

/// Between two questions to a member: etcdctl takes a tenth of a second of processor time, which an emulated
/// machine beside it could use.
const PAUSE: Duration = Duration::from_millis(300);

/// A member on this machine's own bridge answers within a millisecond, or its kernel is not up yet.
const KNOCK: Duration = Duration::from_millis(500);

const GLANCE: Duration = Duration::from_millis(100);

/// Between two looks whether the machines still run.
const PULSE: Duration = Duration::from_secs(1);

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Its machine does not run.
    Off,
    Booting,
    /// Its client port accepts connections.
    EtcdStarted,
    /// Its member commits proposals.
    Formed,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Phase::Off => "off",
            Phase::Booting => "booting",
            Phase::EtcdStarted => "etcd started",
            Phase::Formed => "formed",
        })
    }
}

/// A member to ask.
pub struct Member {
    pub name: String,
    endpoint: String,
    socket: Option<SocketAddr>,
}

/// # Errors
/// `Exit::Wrong` when a node of the manifest has no client URL.
pub fn members(manifest: &Manifest) -> Result<Vec<Member>> {
    let endpoints = verify::endpoints(manifest)?;
    let members = manifest.nodes.iter().zip(endpoints).map(|(node, endpoint)| Member {
        name: node.name.clone(),
        socket: endpoint.trim_start_matches("https://").parse().ok(),
        endpoint,
    });
    Ok(members.collect())
}

impl Member {
    /// How far it is, if its machine runs.
    pub fn ask(&self, etcdctl: &Etcdctl) -> Phase {
        let knocked = self.socket.map(|socket| TcpStream::connect_timeout(&socket, KNOCK));
        match knocked {
            Some(Err(_)) => Phase::Booting,
            _ if etcdctl.health(&self.endpoint).is_ok() => Phase::Formed,
            _ => Phase::EtcdStarted,
        }
    }
}

/// What a node has come to, and when it came there, counted from the beginning.
#[derive(Clone, Copy)]
pub struct Progress {
    pub phase: Phase,
    pub at: Duration,
}

/// One line per node: rewritten in place on a terminal, else one whenever something changed.
pub struct Voice {
    begun: Instant,
    quiet: bool,
    in_place: bool,
    written: bool,
}

impl Voice {
    pub fn new(quiet: bool) -> Self {
        Self { begun: Instant::now(), quiet, in_place: std::io::stderr().is_terminal(), written: false }
    }

    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub fn say(&self, text: impl fmt::Display) {
        if !self.quiet {
            // Nobody can be told that stderr is closed.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    fn tell(&mut self, members: &[Member], progress: &[Progress], changed: usize) {
        if !self.in_place {
            let Progress { phase, at } = progress[changed];
            self.say(format_args!("{:6.1} s  {}  {phase}", at.as_secs_f64(), members[changed].name));
            return;
        }
        let up = if self.written { format!("\u{1b}[{}A", members.len()) } else { String::new() };
        let lines = members.iter().zip(progress).map(|(member, now)| {
            format!("\r\u{1b}[2K{}  {} ({:.1} s)", member.name, now.phase, now.at.as_secs_f64())
        });
        self.say(format_args!("{up}{}", lines.collect::<Vec<_>>().join("\n")));
        self.written = true;
    }
}

/// Follows the members until all have formed or the deadline has come; what each has come to.
///
/// # Errors
/// `Exit::Interrupted`; `Exit::Wrong` when a machine ends by itself.
pub fn follow(
    members: &[Member],
    etcdctl: &Etcdctl,
    runs: &dyn Fn(&str) -> Result<bool>,
    deadline: Duration,
    voice: &mut Voice,
) -> Result<Vec<Progress>> {
    let stop = AtomicBool::new(false);
    let (teller, told) = mpsc::channel();
    thread::scope(|scope| {
        for (at, member) in members.iter().enumerate() {
            let (teller, stop) = (teller.clone(), &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let phase = member.ask(etcdctl);
                    if teller.send((at, phase)).is_err() || phase == Phase::Formed {
                        return;
                    }
                    thread::sleep(PAUSE);
                }
            });
        }
        let outcome = watch(members, &told, runs, deadline, voice);
        stop.store(true, Ordering::Relaxed);
        outcome
    })
}

fn watch(
    members: &[Member],
    told: &mpsc::Receiver<(usize, Phase)>,
    runs: &dyn Fn(&str) -> Result<bool>,
    deadline: Duration,
    voice: &mut Voice,
) -> Result<Vec<Progress>> {
    let mut progress = vec![Progress { phase: Phase::Off, at: voice.elapsed() }; members.len()];
    let mut looked = Instant::now();
    while progress.iter().any(|one| one.phase != Phase::Formed) && voice.elapsed() < deadline {
        if interrupt::asked() {
            return Err(Failure::new(
                crate::failure::Exit::Interrupted,
                "interrupted; the machines go on, kiln status shows where they stand and kiln down ends them",
            ));
        }
        match told.recv_timeout(GLANCE) {
            Ok((at, phase)) if phase != progress[at].phase => {
                progress[at] = Progress { phase, at: voice.elapsed() };
                voice.tell(members, &progress, at);
            }
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if looked.elapsed() >= PULSE {
            looked = Instant::now();
            for (at, member) in members.iter().enumerate() {
                if !runs(&member.name)? {
                    progress[at] = Progress { phase: Phase::Off, at: voice.elapsed() };
                    voice.tell(members, &progress, at);
                    return Ok(progress);
                }
            }
        }
    }
    Ok(progress)
}
