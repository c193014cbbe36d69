//! `kiln-node`: the program of a node that Kiln has built. It is static, and listens on no port. `renew` starts no
//! other program; `snapshot` starts etcdctl and etcdutl, `wipe` etcdctl and systemctl, and no shell.

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
mod overview;
mod pem;
mod protect;
mod prove;
mod renew;
mod run;
mod say;
mod snapshot;
mod status;
mod steps;
mod version;
mod wipe;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::{Long, Short, Value, ValueExt};

const HELP: &str = "\
The program of a node that Kiln has built.

Usage: kiln-node renew [--ensure] [--policy FILE]
       kiln-node snapshot [--policy FILE]
       kiln-node status [--json]
       kiln-node wipe [--policy FILE] [--cluster NAME] [--force]

Verbs:
  renew     New certificates for etcd once two thirds of their life are over, or they are not sound
  snapshot  A snapshot of this member, encrypted and signed; uploads those that wait
  status    What the last runs of both said; exit code 1 if anything is overdue or has failed
  wipe      Takes the host back: removes this member's data and all files of Kiln's, and stops its units

Options:
  --ensure       etcd starts next: wait for the clock, ask no port, succeed with certificates that are valid now
  --policy FILE  [default: /etc/kiln/renew.json, /etc/kiln/backup.json, /etc/kiln/wipe.json]
  --json         The status as JSON
  --cluster NAME The cluster's name, in place of typing it: wipe asks for it
  --force        Wipe also a member that its cluster needs
  -h, --help     Print help
  -V, --version  Print version

Exit codes: 0 all is well; 1 it is not, and what was printed says why; 2 wrong usage
";

enum Verb {
    Renew { ensure: bool },
    Snapshot,
    Status { json: bool },
    Wipe(wipe::Asked),
}

struct Arguments {
    verb: Verb,
    policy: PathBuf,
}

/// What the command line asks for; `None`: it was answered already.
fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let (mut ensure, mut json, mut policy, mut verb) = (false, false, None::<PathBuf>, None);
    let mut asked = wipe::Asked::default();
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
            Long("ensure") => ensure = true,
            Long("json") => json = true,
            Long("cluster") => asked.cluster = Some(parser.value()?.string()?),
            Long("force") => asked.force = true,
            Long("policy") => policy = Some(parser.value()?.into()),
            Value(name) if verb.is_none() => verb = Some(name.string()?),
            other => return Err(other.unexpected()),
        }
    }
    let name = verb.as_deref().ok_or("a verb is missing; kiln-node --help lists them")?;
    for (is_given, option, of) in [
        (ensure, "--ensure", "renew"),
        (json, "--json", "status"),
        (asked.cluster.is_some(), "--cluster", "wipe"),
        (asked.force, "--force", "wipe"),
    ] {
        if is_given && name != of {
            return Err(format!("{option} is for {of}").into());
        }
    }
    let (verb, usual) = match name {
        "renew" => (Verb::Renew { ensure }, "/etc/kiln/renew.json"),
        "snapshot" => (Verb::Snapshot, "/etc/kiln/backup.json"),
        "status" if policy.is_some() => return Err("--policy is not for status".into()),
        "status" => (Verb::Status { json }, ""),
        "wipe" => (Verb::Wipe(asked), "/etc/kiln/wipe.json"),
        _ => return Err("the verb is renew, snapshot, status or wipe; kiln-node --help says more".into()),
    };
    Ok(Some(Arguments { verb, policy: policy.unwrap_or_else(|| usual.into()) }))
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
        Verb::Status { json } => Ok(overview::overview(json)),
        Verb::Wipe(asked) => {
            let path = &arguments.policy;
            wipe::policy(path).map(|list| wipe::wipe(&list, path, &asked))
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
