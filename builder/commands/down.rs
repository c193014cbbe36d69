//! `kiln down`.

use std::io::{BufRead as _, Write as _};

use super::output::Output;
use crate::bundle::Bundle;
use crate::cli;
use crate::failure::{Doing, Failure, Result};
use crate::machine::{self, State};

pub fn run(args: &cli::Down, out: &Output) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let state = State::need(&bundle.path)?;
    if args.purge && !args.yes {
        ask(&bundle, &state)?;
    }
    machine::down(&bundle, args.purge)?;
    match args.purge {
        true => out.say("the machines and their disks are gone"),
        false => out.say(format_args!(
            "the machines are gone; their disks stay in {}: kiln up continues with them",
            state.directory.display()
        )),
    }
    Ok(())
}

fn ask(bundle: &Bundle, state: &State) -> Result<()> {
    let asking = || "asking on the terminal".to_owned();
    let name = &bundle.manifest.cluster.name;
    let mut stderr = std::io::stderr();
    write!(
        stderr,
        "this removes the disks of {name} in {}, and all that etcd holds on them; go on? [y/N] ",
        state.directory.display()
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
