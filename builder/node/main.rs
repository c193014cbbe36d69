//! `kiln-node`: the program of a node that Kiln has built. It is static, listens on no port, and starts no other
//! program.

mod account;
mod clock;
mod decide;
mod disk;
mod failure;
mod generation;
mod issuer;
mod key;
mod leaf;
mod pem;
mod protect;
mod prove;
mod renew;
mod run;
mod say;
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

Verbs:
  renew    Make new certificates for etcd once two thirds of their life are over, or they are not sound

Options:
  --ensure       etcd is to start next: wait for the clock, ask no port, and succeed if it has certificates that are
                 valid now
  --policy FILE  How to renew [default: /etc/kiln/renew.json]
  -h, --help     Print help
  -V, --version  Print version

Exit codes: 0 all is well; 1 it is not, and what was printed says why; 2 wrong usage
";

struct Arguments {
    ensure: bool,
    policy: PathBuf,
}

/// What the command line asks for; `None`: it was answered already.
fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let mut found = Arguments { ensure: false, policy: PathBuf::from("/etc/kiln/renew.json") };
    let mut verb = None;
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
            Long("ensure") => found.ensure = true,
            Long("policy") => found.policy = parser.value()?.into(),
            Value(name) if verb.is_none() => verb = Some(name.string()?),
            other => return Err(other.unexpected()),
        }
    }
    match verb.as_deref() {
        Some("renew") => Ok(Some(found)),
        Some(_) => Err("the verb is renew; kiln-node --help says more".into()),
        None => Err("a verb is missing; kiln-node --help lists them".into()),
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
    let policy = match renew::policy(&arguments.policy) {
        Ok(policy) => policy,
        Err(why) => {
            say::line(say::Level::Error, &format!("kiln: the policy cannot be used: {why}"));
            return ExitCode::FAILURE;
        }
    };
    match renew::renew(&policy, arguments.ensure) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
