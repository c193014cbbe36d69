//! Calling etcdctl with the bundle's client certificate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bundled::bundled_program;
use super::json::{HealthRow, StatusRow};
use super::patience::Patience;
use super::trouble::{Answered, Trouble};
use crate::bundle::manifest::EtcdProgram;
use crate::bundle::{CLIENT_CA, Manifest, OPERATOR_CERT, OPERATOR_KEY};
use crate::causes::Fault;
use crate::failure::{Failure, Result};
use crate::process::{self, Ended, Finished, Program};
use crate::values::Arch;

/// The largest database that etcd suggests, over 100 Mbit/s.
const SAVING: Duration = Duration::from_secs(900);

/// An etcdctl with the bundle's client certificate.
#[derive(Clone)]
pub struct Etcdctl {
    program: PathBuf,
    client: PathBuf,
    patience: Patience,
    /// The reason, when it is not the bundle's own etcdctl.
    pub note: Option<String>,
}

impl Etcdctl {
    /// # Errors
    /// As [`bundled_program`]; for a foreign architecture `Exit::Io` when there is no etcdctl on PATH either.
    pub fn new(bundle: &Path, manifest: &Manifest, scratch: &Path) -> Result<Self> {
        let (client, patience) = (bundle.join("client"), Patience::USUAL);
        let here = std::env::consts::ARCH;
        if Some(manifest.etcd.arch) == Arch::host() {
            let program = bundled_program(bundle, manifest, EtcdProgram::Etcdctl, scratch)?;
            return Ok(Self { program, client, patience, note: None });
        }
        let program = process::find("etcdctl")?;
        let note = format!(
            "the bundle's etcdctl is for {} and this machine is {here}, so {} was used instead",
            manifest.etcd.arch,
            program.display()
        );
        Ok(Self { program, client, patience, note: Some(note) })
    }

    /// The same with another patience.
    #[must_use]
    pub fn with(&self, patience: Patience) -> Self {
        Self { patience, ..self.clone() }
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    pub fn patience(&self) -> Patience {
        self.patience
    }

    fn call(&self, endpoints: &str, arguments: &[&str]) -> Program {
        let command = self.patience.for_a_command();
        self.call_without_limit(endpoints)
            .arg("--write-out=json")
            .arg(format!("--command-timeout={}s", command.as_secs()))
            .args(arguments)
            .within(self.patience.for_a_program())
    }

    fn call_without_limit(&self, endpoints: &str) -> Program {
        let dial = self.patience.for_an_answer();
        Program::new(&self.program)
            .args(["--endpoints", endpoints])
            .arg(format!("--dial-timeout={}s", dial.as_secs()))
            .arg("--cacert")
            .arg(self.client.join(CLIENT_CA))
            .arg("--cert")
            .arg(self.client.join(OPERATOR_CERT))
            .arg("--key")
            .arg(self.client.join(OPERATOR_KEY))
    }

    /// Queries one endpoint and parses the JSON of its answer.
    pub fn ask<T: DeserializeOwned>(&self, endpoint: &str, arguments: &[&str]) -> Answered<T> {
        self.finish(self.call(endpoint, arguments))
    }

    /// The same for cleaning up, which Ctrl-C does not stop.
    pub fn clear_up<T: DeserializeOwned>(&self, endpoint: &str, arguments: &[&str]) -> Answered<T> {
        self.finish(self.call(endpoint, arguments).through_interrupt())
    }

    /// The endpoint of the member that reports itself as the leader.
    pub fn leader(&self, endpoints: &[String]) -> Option<String> {
        let leads = |endpoint: &&String| {
            let rows: Vec<StatusRow> = self.ask(endpoint, &["endpoint", "status"]).unwrap_or_default();
            rows.iter().any(|row| row.status.leader != 0 && row.status.leader == row.status.header.member_id)
        };
        endpoints.iter().find(leads).cloned()
    }

    /// Whether every one of these endpoints commits a proposal.
    ///
    /// # Errors
    /// `Exit::Interrupted`, or `Exit::Io` when etcdctl cannot be run.
    pub fn all_healthy(&self, endpoints: &[String]) -> Result<bool> {
        Ok(self.call(&endpoints.join(","), &["endpoint", "health"]).run()?.success())
    }

    /// Whether one endpoint commits a proposal and has no alarm. etcdctl writes its JSON here though it exits 1.
    pub fn health(&self, endpoint: &str) -> Answered<()> {
        let finished = run(&self.call(endpoint, &["endpoint", "health"]))?;
        let rows: Vec<HealthRow> = serde_json::from_slice(&finished.stdout).unwrap_or_default();
        match rows.into_iter().next() {
            Some(row) if row.health => Ok(()),
            Some(row) if !row.error.is_empty() => {
                Err(Trouble::new(Fault::named_in(&row.error), row.error.trim()))
            }
            _ => Err(trouble(&finished)),
        }
    }

    /// Writes a snapshot of one member to a file. It is as large as the database, which can be 8 GiB.
    ///
    /// # Errors
    /// `Exit::Wrong` with what etcdctl said.
    pub fn save(&self, endpoint: &str, to: &Path) -> Result<()> {
        // With a limit for the command, etcdctl ends a snapshot that streams for longer (`isCommandTimeoutFlagSet` in
        // etcdctl/ctlv3/command/global.go); without one it does not.
        let program = self.call_without_limit(endpoint).args(["snapshot", "save"]).arg(to);
        let finished = program.within(SAVING).run()?;
        match finished.success() {
            true => Ok(()),
            false => {
                let said = finished.stderr_text();
                let failure = match said.contains("no space left on device") {
                    true => Failure::io(format!("no space left on device for {}", to.display())),
                    false => Failure::wrong(trouble(&finished).said),
                };
                Err(failure.while_doing(format!("taking a snapshot of {endpoint}")))
            }
        }
    }

    fn finish<T: DeserializeOwned>(&self, program: Program) -> Answered<T> {
        let finished = run(&program)?;
        if !finished.success() {
            return Err(trouble(&finished));
        }
        serde_json::from_slice(&finished.stdout).map_err(|error| {
            Trouble::new(Fault::Program, format!("etcdctl returned unexpected JSON: {error}"))
        })
    }
}

fn run(program: &Program) -> Answered<Finished> {
    program.run().map_err(|failure| Trouble::new(Fault::Program, failure.to_string()))
}

/// Why etcdctl has no answer. One that did not end by itself in time had none from its member.
fn trouble(finished: &Finished) -> Trouble {
    let text = finished.stderr_text();
    match (Fault::named_in(&text), finished.ended) {
        (Fault::Unknown, Ended::Deadline) => {
            Trouble::new(Fault::Waiting, "etcdctl did not end in time, and was stopped")
        }
        (fault, _) => Trouble::new(fault, gist(&text)),
    }
}

/// The relevant part of etcdctl's standard error: the `error` of its last JSON log line that has one, or else its last
/// line.
fn gist(stderr: &str) -> String {
    #[derive(Deserialize)]
    struct Line {
        error: String,
    }
    let logged = stderr.lines().rev().find_map(|line| serde_json::from_str::<Line>(line).ok());
    let text = match logged {
        Some(line) => line.error,
        None => stderr.lines().last().unwrap_or("it printed nothing").to_owned(),
    };
    // Of gRPC's nested descriptions the innermost is the cause.
    let inner = text.rsplit("desc = ").next().unwrap_or(&text);
    inner.trim_matches(['"', '\\', ' ']).trim_start_matches("Error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The health of a member that was too slow for etcdctl's own timeout was "it printed nothing".
    #[test]
    fn an_etcdctl_that_is_stopped_was_waiting() {
        let said = |script: &str| {
            let sh = process::find("sh").unwrap();
            let program = Program::new(&sh).args(["-c", script]).within(Duration::from_millis(300));
            let trouble = trouble(&program.run().unwrap());
            trouble.fault
        };
        assert_eq!(said("exec sleep 30"), Fault::Waiting);
        assert_eq!(said("echo Error: etcdserver: no leader >&2; exec sleep 30"), Fault::NoLeader);
        assert_eq!(said("echo Error: etcdserver: no leader >&2; exit 1"), Fault::NoLeader);
        assert_eq!(said("exit 1"), Fault::Unknown);
    }

    #[test]
    fn the_gist_of_what_etcdctl_says() {
        let cases = [
            (
                r#"{"level":"warn","msg":"retrying","error":"rpc error: code = DeadlineExceeded desc = latest balancer error: last connection error: connection error: desc = \"transport: Error while dialing: dial tcp 10.240.48.10:2379: connect: connection refused\""}
Error: context deadline exceeded"#,
                "transport: Error while dialing: dial tcp 10.240.48.10:2379: connect: connection refused",
            ),
            ("Error: etcdserver: no leader", "etcdserver: no leader"),
            ("", "it printed nothing"),
        ];
        for (stderr, want) in cases {
            assert_eq!(gist(stderr), want);
        }
    }
}
