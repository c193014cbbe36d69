//! The command line.

use std::path::PathBuf;

use lexopt::prelude::{Long, Short, Value, ValueExt};

use crate::{restore, say, version, wipe};

const HELP: &str = "\
The program of a node that Kiln has built.

Usage: kiln-node renew [--ensure] [--policy FILE]
       kiln-node snapshot [--policy FILE]
       kiln-node restore prepare --policy FILE --snapshot FILE
       kiln-node restore switch|abandon --policy FILE
       kiln-node status [--json]
       kiln-node wipe [--policy FILE] [--cluster NAME] [--force]

Verbs:
  renew     New certificates for etcd once two thirds of their life are over, or they are not sound
  snapshot  A snapshot of this member, encrypted and signed; uploads those that wait
  restore   This member as one of the cluster's next generation. prepare: its data out of a snapshot, beside the data
            that etcd serves; switch, with etcd stopped: exchanges them, and keeps the data before; abandon: removes
            what was prepared. Each can be run again
  status    What the last runs of renew and snapshot said; exit code 1 if anything is overdue or has failed
  wipe      Takes the host back: removes this member's data and all files of Kiln's, and stops its units

Options:
  --ensure         Of renew: etcd starts next: wait for the clock, ask no port, succeed with certificates that are valid now
  --policy FILE    [default: /etc/kiln/renew.json, /etc/kiln/backup.json, /etc/kiln/wipe.json]; restore has no default
  --snapshot FILE  Of restore prepare: the snapshot, decrypted; only root can write it
  --json           Of status: as JSON
  --cluster NAME   Of wipe: the cluster's name, in place of typing it
  --force          Of wipe: also a member that its cluster needs
  -h, --help       Print help
  -V, --version    Print version

Exit codes: 0 all is well; 1 it is not, and what was printed says why; 2 wrong usage
";

/// What is to be done.
pub enum Verb {
    /// `renew`.
    Renew {
        /// Whether etcd starts next.
        ensure: bool,
    },
    /// `snapshot`.
    Snapshot,
    /// `restore`.
    Restore(restore::Action),
    /// `status`.
    Status {
        /// For programs.
        json: bool,
    },
    /// `wipe`.
    Wipe(wipe::Asked),
}

/// A verb, and the file that says how.
pub struct Arguments {
    pub verb: Verb,
    pub policy: PathBuf,
}

/// The options, of whatever verb.
#[derive(Default)]
struct Given {
    ensure: bool,
    json: bool,
    policy: Option<PathBuf>,
    snapshot: Option<PathBuf>,
    asked: wipe::Asked,
}

impl Given {
    /// # Errors
    /// Where an option is another verb's.
    fn check(&self, verb: &str) -> Result<(), lexopt::Error> {
        for (is_given, option, of) in [
            (self.ensure, "--ensure", "renew"),
            (self.json, "--json", "status"),
            (self.snapshot.is_some(), "--snapshot", "restore"),
            (self.asked.cluster.is_some(), "--cluster", "wipe"),
            (self.asked.force, "--force", "wipe"),
        ] {
            if is_given && verb != of {
                return Err(format!("{option} is for {of}").into());
            }
        }
        match (verb, &self.policy) {
            ("status", Some(_)) => Err("--policy is not for status".into()),
            ("restore", None) => Err("restore needs --policy FILE".into()),
            _ => Ok(()),
        }
    }
}

impl Arguments {
    /// What the command line asks for; `None`: it was answered already.
    pub fn read() -> Result<Option<Self>, lexopt::Error> {
        let mut parser = lexopt::Parser::from_env();
        let mut given = Given::default();
        let (mut verb, mut action) = (None, None);
        while let Some(argument) = parser.next()? {
            match argument {
                Short('h') | Long("help") => {
                    say::print(HELP);
                    return Ok(None);
                }
                Short('V') | Long("version") => {
                    say::print(&format!("kiln-node {}\n", version::version()));
                    return Ok(None);
                }
                Long("ensure") => given.ensure = true,
                Long("json") => given.json = true,
                Long("cluster") => given.asked.cluster = Some(parser.value()?.string()?),
                Long("force") => given.asked.force = true,
                Long("policy") => given.policy = Some(parser.value()?.into()),
                Long("snapshot") => given.snapshot = Some(parser.value()?.into()),
                Value(name) if verb.is_none() => verb = Some(name.string()?),
                Value(name) if action.is_none() && verb.as_deref() == Some("restore") => {
                    action = Some(name.string()?);
                }
                other => return Err(other.unexpected()),
            }
        }
        let name = verb.as_deref().ok_or("a verb is missing; kiln-node --help lists them")?;
        given.check(name)?;
        let (verb, usual) = match name {
            "renew" => (Verb::Renew { ensure: given.ensure }, "/etc/kiln/renew.json"),
            "snapshot" => (Verb::Snapshot, "/etc/kiln/backup.json"),
            "restore" => (Verb::Restore(restoring(action.as_deref(), given.snapshot)?), ""),
            "status" => (Verb::Status { json: given.json }, ""),
            "wipe" => (Verb::Wipe(given.asked), "/etc/kiln/wipe.json"),
            _ => {
                return Err(
                    "the verb is renew, snapshot, restore, status or wipe; kiln-node --help says more".into(),
                );
            }
        };
        Ok(Some(Self { verb, policy: given.policy.unwrap_or_else(|| usual.into()) }))
    }
}

fn restoring(action: Option<&str>, snapshot: Option<PathBuf>) -> Result<restore::Action, lexopt::Error> {
    match (action, snapshot) {
        (Some("prepare"), Some(snapshot)) => Ok(restore::Action::Prepare(snapshot)),
        (Some("prepare"), None) => Err("restore prepare needs --snapshot FILE".into()),
        (Some("switch" | "abandon"), Some(_)) => Err("--snapshot is for restore prepare".into()),
        (Some("switch"), None) => Ok(restore::Action::Switch),
        (Some("abandon"), None) => Ok(restore::Action::Abandon),
        _ => Err("restore takes prepare, switch or abandon; kiln-node --help says more".into()),
    }
}
