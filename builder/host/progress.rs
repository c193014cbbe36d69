//! The phases of a node while its machine starts.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// The phase of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The host of its machine does not answer, and neither does etcd.
    Unknown,
    /// Its machine does not run.
    Off,
    /// Its machine exists and is about to be started.
    Defined,
    /// Its machine was started, and its state has not been checked.
    Started,
    Booting,
    /// Its own guard has decided not to start etcd.
    Blocked,
    /// Its client port accepts connections.
    EtcdStarted,
    /// Its member commits proposals.
    Formed,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Phase::Unknown => "unknown",
            Phase::Off => "off",
            Phase::Defined => "defined",
            Phase::Started => "started",
            Phase::Booting => "booting",
            Phase::Blocked => "blocked",
            Phase::EtcdStarted => "etcd started",
            Phase::Formed => "formed",
        })
    }
}

/// The phase of a node, and when it began, counted from the beginning.
#[derive(Clone)]
pub struct NodeProgress {
    pub phase: Phase,
    pub at: Duration,
    /// The last message of its units on its console.
    pub said: Option<String>,
}

impl NodeProgress {
    pub fn new(phase: Phase, at: Duration, said: Option<String>) -> Self {
        let refused = said.as_ref().is_some_and(|said| said.starts_with("does not start etcd"));
        let phase = if refused && phase == Phase::Booting { Phase::Blocked } else { phase };
        // The last message of a machine that is off is out of date.
        Self { phase, at, said: said.filter(|_| !matches!(phase, Phase::Formed | Phase::Off)) }
    }

    /// Whether it will not change by itself.
    pub fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Formed | Phase::Blocked | Phase::Off)
    }

    /// The last message of its units, after two spaces.
    pub fn note(&self) -> String {
        self.said.as_ref().map_or(String::new(), |said| format!("  {said}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_whose_guard_refuses_is_blocked_unless_it_serves() {
        let refusal = || Some("does not start etcd: its data is gone".to_owned());
        let cases = [
            (Phase::Booting, refusal(), Phase::Blocked),
            (Phase::Booting, Some("waits for the clock".to_owned()), Phase::Booting),
            (Phase::Booting, None, Phase::Booting),
            // The message is older than the repair.
            (Phase::Formed, refusal(), Phase::Formed),
            (Phase::EtcdStarted, refusal(), Phase::EtcdStarted),
            (Phase::Off, refusal(), Phase::Off),
            (Phase::Off, Some("serves as a member of ha3".to_owned()), Phase::Off),
        ];
        for (seen, said, want) in cases {
            let progress = NodeProgress::new(seen, Duration::ZERO, said.clone());
            assert_eq!(progress.phase, want, "{seen:?} {said:?}");
            // A machine that is off does not serve, whatever its last message.
            let told = matches!(want, Phase::Booting | Phase::Blocked | Phase::EtcdStarted);
            assert_eq!(progress.said, said.filter(|_| told));
        }
    }
}
