//! Watching members come up, from outside: does the machine run, what does its console say, does its client port answer,
//! does etcd serve.

use std::fmt;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::state::State;
use crate::bundle::Manifest;
use crate::cluster::{self, Etcdctl};
use crate::failure::{Exit, Failure, Result};
use crate::interrupt;
use crate::parallel;
use crate::values::NodeName;

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
    /// Its machine is there and about to be started.
    Defined,
    /// Its machine was started, and nobody has looked further.
    Started,
    Booting,
    /// Its own guard has decided that etcd must not start there.
    Held,
    /// Its client port accepts connections.
    EtcdStarted,
    /// Its member commits proposals.
    Formed,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Phase::Off => "off",
            Phase::Defined => "defined",
            Phase::Started => "started",
            Phase::Booting => "booting",
            Phase::Held => "held",
            Phase::EtcdStarted => "etcd started",
            Phase::Formed => "formed",
        })
    }
}

/// A member to ask.
pub struct Member {
    pub name: NodeName,
    endpoint: String,
    socket: Option<SocketAddr>,
}

/// # Errors
/// `Exit::Wrong` when a node of the manifest has no client URL.
pub fn members(manifest: &Manifest) -> Result<Vec<Member>> {
    let endpoints = cluster::endpoints(manifest)?;
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
        let knocked = self.socket.map(|socket| cluster::connect(socket, KNOCK));
        match knocked {
            Some(Err(_)) => Phase::Booting,
            _ if etcdctl.health(&self.endpoint).is_ok() => Phase::Formed,
            _ => Phase::EtcdStarted,
        }
    }
}

/// What a node has come to, and when it came there, counted from the beginning.
#[derive(Clone)]
pub struct Progress {
    pub phase: Phase,
    pub at: Duration,
    /// What its units have last said on its console.
    pub said: Option<String>,
}

impl Progress {
    pub fn new(phase: Phase, at: Duration, said: Option<String>) -> Self {
        let refused = said.as_ref().is_some_and(|said| said.starts_with("does not start etcd"));
        let phase = if refused && phase == Phase::Booting { Phase::Held } else { phase };
        // What a machine said before it went off says nothing of it now.
        Self { phase, at, said: said.filter(|_| !matches!(phase, Phase::Formed | Phase::Off)) }
    }

    /// Nothing more comes of it by itself.
    fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Formed | Phase::Held | Phase::Off)
    }

    fn note(&self) -> String {
        self.said.as_ref().map_or(String::new(), |said| format!("  {said}"))
    }
}

/// What is seen of a machine from its host.
pub struct Glimpse {
    pub runs: bool,
    pub said: Option<String>,
}

/// One line per node: rewritten in place on a terminal, else one whenever something changed.
pub struct Voice {
    begun: Instant,
    quiet: bool,
    /// Of the terminal, where there is one.
    columns: Option<usize>,
    written: bool,
}

impl Voice {
    pub fn new(quiet: bool) -> Self {
        let columns = rustix::termios::tcgetwinsize(std::io::stderr()).ok().map(|size| size.ws_col.into());
        // A terminal that does not know its width says 0.
        let columns = columns.map(|columns: usize| if columns == 0 { 80 } else { columns });
        Self { begun: Instant::now(), quiet, columns, written: false }
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

    /// What also `--quiet` does not hide.
    pub fn warn(&self, text: impl fmt::Display) {
        // Nobody can be told that stderr is closed.
        let _ = writeln!(std::io::stderr(), "warning: {text}");
    }

    /// Where a node stands now; `progress` is every node's, in the same order as `names`.
    pub fn tell(&mut self, names: &[&NodeName], progress: &[Progress], changed: usize) {
        let Some(columns) = self.columns else {
            let Progress { phase, at, .. } = &progress[changed];
            let note = progress[changed].note();
            self.say(format_args!("{:6.1} s  {}  {phase}{note}", at.as_secs_f64(), names[changed]));
            return;
        };
        let up = if self.written { format!("\u{1b}[{}A", names.len()) } else { String::new() };
        let lines = names.iter().zip(progress).map(|(name, now)| {
            let line = format!("{name}  {} ({:.1} s){}", now.phase, now.at.as_secs_f64(), now.note());
            // A line that wraps would be two of those that are gone up.
            let line: String = line.chars().take(columns.saturating_sub(1)).collect();
            format!("\r\u{1b}[2K{line}")
        });
        self.say(format_args!("{up}{}", lines.collect::<Vec<_>>().join("\n")));
        self.written = true;
    }
}

/// How a machine is seen.
pub type Look = fn(&State, &NodeName) -> Result<Glimpse>;

/// What is known of the nodes before the following begins, in their order.
pub struct Begun {
    pub progress: Vec<Progress>,
    /// Those that are waited for.
    pub asked: Vec<bool>,
}

/// Follows the members until nothing more is to come of any that is waited for, or the deadline has come; what each has come to. That a
/// member serves is remembered as soon as it is seen.
///
/// # Errors
/// `Exit::Interrupted`; `Exit::Io` when the machines cannot be looked at.
pub fn follow(
    members: &[Member],
    etcdctl: &Etcdctl,
    state: &mut State,
    begun: Begun,
    look: Look,
    deadline: Duration,
    voice: &mut Voice,
) -> Result<Vec<Progress>> {
    let stop = AtomicBool::new(false);
    let (teller, told) = mpsc::channel();
    thread::scope(|scope| {
        for (at, member) in members.iter().enumerate() {
            let (teller, asked_to_stop) = (teller.clone(), &stop);
            let begun = parallel::need(scope, move || {
                while !asked_to_stop.load(Ordering::Relaxed) {
                    let phase = member.ask(etcdctl);
                    if teller.send((at, phase)).is_err() || phase == Phase::Formed {
                        return;
                    }
                    thread::sleep(PAUSE);
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
            Watch { names, progress, asked: &asked, runs, state, voice }.until(deadline, &told, look);
        stop.store(true, Ordering::Relaxed);
        outcome
    })
}

/// Ctrl-C once machines may run: they are the user's to go on with.
pub fn interrupted() -> Failure {
    Failure::new(
        Exit::Interrupted,
        "interrupted; machines that were started go on: kiln status shows their state, kiln up continues with them and \
         kiln down ends them",
    )
}

struct Watch<'a> {
    names: Vec<&'a NodeName>,
    progress: Vec<Progress>,
    /// Those that are waited for.
    asked: &'a [bool],
    /// Whether its machine ran when it was last looked at.
    runs: Vec<bool>,
    state: &'a mut State,
    voice: &'a mut Voice,
}

impl Watch<'_> {
    fn until(
        mut self,
        deadline: Duration,
        told: &mpsc::Receiver<(usize, Phase)>,
        look: Look,
    ) -> Result<Vec<Progress>> {
        let mut looked: Option<Instant> = None;
        while !self.is_settled() && self.voice.elapsed() < deadline {
            if interrupt::asked() {
                return Err(interrupted());
            }
            match told.recv_timeout(GLANCE) {
                Ok((at, phase)) => {
                    let said = self.progress[at].said.clone();
                    self.step(at, phase, said)?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if looked.is_none_or(|looked| looked.elapsed() >= PULSE) {
                looked = Some(Instant::now());
                for at in 0..self.names.len() {
                    let Glimpse { runs, said } = look(self.state, self.names[at])?;
                    self.runs[at] = runs;
                    self.step(at, self.progress[at].phase, said)?;
                }
            }
        }
        Ok(self.progress)
    }

    fn is_settled(&self) -> bool {
        self.progress.iter().zip(self.asked).all(|(progress, asked)| !asked || progress.is_settled())
    }

    /// Notes where a node stands, and says so when that is new. A port that does not answer looks the same whether the
    /// machine boots or is off.
    fn step(&mut self, at: usize, phase: Phase, said: Option<String>) -> Result<()> {
        let phase = match (self.runs[at], phase) {
            (false, _) => Phase::Off,
            (true, Phase::Off | Phase::Started) => Phase::Booting,
            (true, phase) => phase,
        };
        let now = Progress::new(phase, self.voice.elapsed(), said);
        let was = &self.progress[at];
        if was.phase == Phase::Formed || (now.phase, &now.said) == (was.phase, &was.said) {
            return Ok(());
        }
        if now.phase == Phase::Formed {
            self.state.note_formed(self.names[at])?;
        }
        self.progress[at] = now;
        self.voice.tell(&self.names, &self.progress, at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_whose_guard_refuses_is_held_unless_it_serves() {
        let refusal = || Some("does not start etcd: its data is gone".to_owned());
        let cases = [
            (Phase::Booting, refusal(), Phase::Held),
            (Phase::Booting, Some("waits for the clock".to_owned()), Phase::Booting),
            (Phase::Booting, None, Phase::Booting),
            // What was said before it was put right.
            (Phase::Formed, refusal(), Phase::Formed),
            (Phase::EtcdStarted, refusal(), Phase::EtcdStarted),
            (Phase::Off, refusal(), Phase::Off),
            (Phase::Off, Some("serves as a member of ha3".to_owned()), Phase::Off),
        ];
        for (seen, said, want) in cases {
            let progress = Progress::new(seen, Duration::ZERO, said.clone());
            assert_eq!(progress.phase, want, "{seen:?} {said:?}");
            // A machine that is off serves nothing, whatever it said last.
            let told = matches!(want, Phase::Booting | Phase::Held | Phase::EtcdStarted);
            assert_eq!(progress.said, said.filter(|_| told));
        }
    }
}
