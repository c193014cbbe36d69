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
    // Held from here on, so that what the question names is what is removed.
    let held = State::hold(&bundle)?;
    if args.purge && !args.yes {
        ask(&held.state)?;
    }
    let (there, cluster) = (&held.state.record.names, &bundle.manifest.cluster);
    if there.id != cluster.id {
        out.warn(format_args!(
            "these are the VMs of the cluster {} with the ID {}, and the bundle is of {} with the ID {}",
            there.cluster, there.id, cluster.name, cluster.id
        ));
    }
    let places = held.state.record.places_called();
    let gone = host::down(held, &bundle, args.purge)?;
    let places = match places.is_empty() {
        true => format!("in {}", gone.directory.display()),
        false => format!("at {}", places.join(" and ")),
    };
    match args.purge {
        true => out.say(format_args!("removed the VMs and their disks {places}")),
        false => {
            out.say(format_args!("stopped the VMs and kept their disks {places}; kiln up starts them again"));
        }
    }
    if let Some(bridge) = &gone.bridge {
        out.warn(format_args!("kept the bridge {bridge}, because other VMs use it"));
    }
    for target in &gone.behind {
        out.warn(format_args!("kept {}; only the link to it was removed", target.display()));
    }
    Ok(())
}

fn ask(state: &State) -> Result<()> {
    let asking = || "asking on the terminal".to_owned();
    let name = &state.record.names.cluster;
    let places = state.record.places_called();
    let place = match places.is_empty() {
        true => format!("in {}", disk::resolved(&state.directory).display()),
        false => format!("at {}", places.join(" and ")),
    };
    let mut stderr = std::io::stderr();
    write!(stderr, "this removes the disks of {name} {place} with all of etcd's data; continue? [y/N] ")
        .and_then(|()| stderr.flush())
        .doing(asking)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).doing(asking)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => {
            Err(Failure::unsafe_to("not confirmed, so nothing was removed; pass --yes to skip the question"))
        }
    }
}
