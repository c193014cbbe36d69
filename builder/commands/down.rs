//! `kiln down`.

use std::io::{BufRead as _, Write as _};

use super::output::Output;
use crate::bundle::Bundle;
use crate::cli;
use crate::disk;
use crate::failure::{Doing, Failure, Result};
use crate::host::{self, State};

pub fn run(args: &cli::Down, out: &Output) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let state = State::need(&bundle)?;
    if args.purge && !args.yes {
        ask(&state)?;
    }
    let gone = host::down(&bundle, args.purge)?;
    let directory = gone.directory.display();
    match args.purge {
        true => out.say(format_args!("the machines and their disks in {directory} are gone")),
        false => out.say(format_args!(
            "the machines are gone; their disks stay in {directory}: kiln up continues with them"
        )),
    }
    if let Some(bridge) = &gone.bridge {
        out.warn(format_args!("the bridge {bridge} stays, because other machines use it"));
    }
    for target in &gone.behind {
        out.warn(format_args!("{} stays; only the link to it was removed", target.display()));
    }
    Ok(())
}

fn ask(state: &State) -> Result<()> {
    let asking = || "asking on the terminal".to_owned();
    let name = &state.record.names.cluster;
    let mut stderr = std::io::stderr();
    write!(
        stderr,
        "this removes the disks of {name} in {}, and all that etcd holds on them; go on? [y/N] ",
        disk::resolved(&state.directory).display()
    )
    .and_then(|()| stderr.flush())
    .doing(asking)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).doing(asking)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => {
            Err(Failure::unsafe_to("not confirmed, so nothing was removed; --yes confirms it without asking"))
        }
    }
}
