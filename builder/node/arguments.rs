//! The command line.

use std::path::PathBuf;

use kiln_wire::Id;
use lexopt::prelude::{Long, Short, Value, ValueExt};

use crate::{restore, say, version, wipe};

const HELP: &str = "\
The program of a node that Kiln has built.

Usage: kiln-node renew [--ensure] [--policy FILE]
       kiln-node snapshot [--policy FILE]
       kiln-node restore prepare --policy FILE --snapshot FILE
       kiln-node restore switch|abandon --policy FILE
       kiln-node restore attached --disk FILE --member ID
       kiln-node status [--json]
       kiln-node wipe [--policy FILE] [--cluster NAME] [--force]

Verbs:
  renew     New certificates for etcd once two thirds of their life are over, or they are not sound
  snapshot  A snapshot of this member, encrypted and signed; uploads those that wait
  restore   This member as one of the cluster's next generation. prepare: its data out of a snapshot, beside the data
            that etcd serves; switch, with etcd stopped: exchanges them, and keeps the data before; abandon: removes
            what was prepared. attached: at a first boot, from a disk with its orders. Each can be run again
  status    What the last runs of renew and snapshot said; exit code 1 if anything is overdue or has failed
  wipe      Takes the host back: removes this member's data and all files of Kiln's, and stops its units

Options:
  --ensure         Of renew: etcd starts next: wait for the clock, ask no port, succeed with certificates that are valid now
  --policy FILE    [default: /etc/kiln/renew.json, /etc/kiln/backup.json, /etc/kiln/wipe.json]; restore has no default
  --snapshot FILE  Of restore prepare: the snapshot, decrypted; only root can write it
  --disk FILE      Of restore attached: the disk; without it nothing is done
  --member ID      Of restore attached: the member that this node will be, in hexadecimal
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
    /// `restore`, by the orders in a file.
    Restore(restore::Action),
    /// `restore attached`.
    RestoreAttached {
        /// With the orders and the snapshot.
        disk: PathBuf,
        /// That the node will be.
        member: Id,
    },
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
    disk: Option<PathBuf>,
    member: Option<Id>,
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
            (self.disk.is_some(), "--disk", "restore"),
            (self.member.is_some(), "--member", "restore"),
            (self.asked.cluster.is_some(), "--cluster", "wipe"),
            (self.asked.force, "--force", "wipe"),
        ] {
            if is_given && verb != of {
                return Err(format!("{option} is for {of}").into());
            }
        }
        match (verb, &self.policy) {
            ("status", Some(_)) => Err("--policy is not for status".into()),
            ("restore", None) if self.disk.is_none() => Err("restore needs --policy FILE".into()),
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
                Long("disk") => given.disk = Some(parser.value()?.into()),
                Long("member") => given.member = Some(member(&parser.value()?.string()?)?),
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
            "restore" => (restoring(action.as_deref(), &mut given)?, ""),
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

fn member(text: &str) -> Result<Id, lexopt::Error> {
    Id::of_etcd(text).ok_or_else(|| format!("--member {text}: it is no ID, as etcdctl prints it").into())
}

fn restoring(action: Option<&str>, given: &mut Given) -> Result<Verb, lexopt::Error> {
    let attached = (given.disk.take(), given.member.take());
    let action = match (action, given.snapshot.take(), attached) {
        (Some("attached"), None, (Some(disk), Some(member))) if given.policy.is_none() => {
            return Ok(Verb::RestoreAttached { disk, member });
        }
        (Some("attached"), ..) => return Err("restore attached takes --disk FILE and --member ID".into()),
        (_, _, (Some(_), _) | (_, Some(_))) => {
            return Err("--disk and --member are for restore attached".into());
        }
        (Some("prepare"), Some(snapshot), _) => restore::Action::Prepare(snapshot),
        (Some("prepare"), None, _) => return Err("restore prepare needs --snapshot FILE".into()),
        (Some("switch" | "abandon"), Some(_), _) => return Err("--snapshot is for restore prepare".into()),
        (Some("switch"), None, _) => restore::Action::Switch,
        (Some("abandon"), None, _) => restore::Action::Abandon,
        _ => {
            return Err(
                "restore takes prepare, switch, abandon or attached; kiln-node --help says more".into()
            );
        }
    };
    Ok(Verb::Restore(action))
}
