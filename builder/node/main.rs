//! `kiln-node`: the program of a node that Kiln has built. It is static, and listens on no port. `renew` starts no
//! other program; `snapshot` and `restore` start etcdctl and etcdutl, `wipe` etcdctl and systemctl, and none a shell.

mod account;
mod arguments;
mod clock;
mod decide;
mod disk;
mod failure;
mod generation;
mod instances;
mod issuer;
mod key;
mod large;
mod leaf;
mod overview;
mod pem;
mod policy;
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
mod wipe;
mod words;

use std::process::ExitCode;

use arguments::{Arguments, Verb};
use kiln_wire::{Backup, Policy, Wipe};

fn main() -> ExitCode {
    protect::memory();
    let arguments = match Arguments::read() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let path = &arguments.policy;
    let done = match arguments.verb {
        Verb::Renew { ensure } => {
            policy::read(path, Policy::check).map(|policy| renew::renew(&policy, ensure))
        }
        Verb::Snapshot => policy::read(path, Backup::check).map(|policy| snapshot::snapshot(&policy)),
        Verb::Restore(action) => restore::Orders::read(path).map(|orders| restore::restore(&orders, &action)),
        Verb::RestoreAttached { disk, member } => restore::attached(&disk, member),
        Verb::Status { json } => Ok(overview::overview(json)),
        Verb::Wipe(asked) => policy::read(path, Wipe::check).map(|list| wipe::wipe(&list, path, &asked)),
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
