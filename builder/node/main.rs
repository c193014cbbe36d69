//! `kiln-node`: the program of a node that Kiln has built. It is static, and listens on no port. `renew` starts no
//! other program; `snapshot` and `restore` start etcdctl and etcdutl, and no shell.

mod account;
mod clock;
mod decide;
mod disk;
mod failure;
mod generation;
mod issuer;
mod key;
mod large;
mod leaf;
mod pem;
mod protect;
mod prove;
mod renew;
mod restore;
mod run;
mod say;
mod snapshot;
mod status;
mod steps;
mod version;
mod words;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::{Long, Short, Value, ValueExt};

const HELP: &str = "\
The program of a node that Kiln has built.

Usage: kiln-node renew [--ensure] [--policy FILE]
       kiln-node snapshot [--policy FILE]
       kiln-node restore prepare --policy FILE --snapshot FILE
       kiln-node restore switch|abandon --policy FILE

Verbs:
  renew     New certificates for etcd once two thirds of their life are over, or they are not sound
  snapshot  A snapshot of this member, encrypted and signed; uploads those that wait
  restore   This member as one of the cluster's next generation. prepare: its data out of a snapshot, beside the data
            that etcd serves; switch, with etcd stopped: exchanges them, and keeps the data before; abandon: removes
            what was prepared. Each can be run again

Options:
  --ensure         Of renew: etcd starts next: wait for the clock, ask no port, succeed with certificates that are valid now
  --policy FILE    [default: /etc/kiln/renew.json, /etc/kiln/backup.json]; restore has no default
  --snapshot FILE  Of restore prepare: the snapshot, decrypted; only root can write it
  -h, --help       Print help
  -V, --version    Print version

Exit codes: 0 all is well; 1 it is not, and what was printed says why; 2 wrong usage
";

enum Verb {
    Renew { ensure: bool },
    Snapshot,
    Restore(restore::Action),
}

struct Arguments {
    verb: Verb,
    policy: PathBuf,
}

/// What the command line asks for; `None`: it was answered already.
fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let (mut ensure, mut policy, mut snapshot, mut verb, mut action) = (false, None, None, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => {
                print(HELP);
                return Ok(None);
            }
            Short('V') | Long("version") => {
                print(&format!("kiln-node {}\n", version::version()));
                return Ok(None);
            }
            Long("ensure") => ensure = true,
            Long("policy") => policy = Some(parser.value()?.into()),
            Long("snapshot") => snapshot = Some(parser.value()?.into()),
            Value(name) if verb.is_none() => verb = Some(name.string()?),
            Value(name) if action.is_none() && verb.as_deref() == Some("restore") => {
                action = Some(name.string()?);
            }
            other => return Err(other.unexpected()),
        }
    }
    let (verb, usual) = match verb.as_deref() {
        Some("restore") if policy.is_none() => return Err("restore needs --policy FILE".into()),
        Some("restore") if !ensure => (Verb::Restore(restoring(action.as_deref(), snapshot)?), ""),
        Some(_) if snapshot.is_some() => return Err("--snapshot is for restore prepare".into()),
        Some("renew") => (Verb::Renew { ensure }, "/etc/kiln/renew.json"),
        Some("restore" | "snapshot") if ensure => return Err("--ensure is for renew".into()),
        Some("snapshot") => (Verb::Snapshot, "/etc/kiln/backup.json"),
        Some(_) => return Err("the verb is renew, snapshot or restore; kiln-node --help says more".into()),
        None => return Err("a verb is missing; kiln-node --help lists them".into()),
    };
    Ok(Some(Arguments { verb, policy: policy.unwrap_or_else(|| usual.into()) }))
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

/// Where nobody reads it, nothing is lost.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn main() -> ExitCode {
    protect::memory();
    let arguments = match arguments() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let done = match arguments.verb {
        Verb::Renew { ensure } => {
            renew::policy(&arguments.policy).map(|policy| renew::renew(&policy, ensure))
        }
        Verb::Snapshot => snapshot::policy(&arguments.policy).map(|policy| snapshot::snapshot(&policy)),
        Verb::Restore(action) => {
            restore::orders(&arguments.policy).map(|orders| restore::restore(&orders, &action))
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            say::line(say::Level::Error, &format!("kiln: the policy cannot be used: {why}"));
            ExitCode::FAILURE
        }
    }
}
