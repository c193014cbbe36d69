//! `kiln down`.

use std::path::Path;

use serde_json::json;

use super::ask::confirm;
use super::output::{Output, and_said};
use crate::bundle::Bundle;
use crate::cli;
use crate::disk;
use crate::failure::Result;
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
    let called = held.state.record.places_called();
    let gone = host::down(held, &bundle, args.purge)?;
    let places = places(&called, &gone.directory);
    let done = match args.purge {
        true => format!("removed the VMs and their disks {places}"),
        false => format!("stopped the VMs and kept their disks {places}"),
    };
    if let Some(bridge) = &gone.bridge {
        out.warn(format_args!("kept the bridge {bridge}, because other VMs use it"));
    }
    for target in &gone.behind {
        out.warn(format_args!("kept {}; only the link to it was removed", target.display()));
    }
    if args.json {
        let said = out.json(&json!({
            "cluster": cluster.name, "id": cluster.id, "purged": args.purge, "directory": gone.directory,
            "libvirts": called, "bridge": gone.bridge, "kept": gone.behind,
        }));
        return and_said(&done, said);
    }
    out.say(match args.purge {
        true => done,
        false => format!("{done}; kiln up starts them again"),
    });
    Ok(())
}

/// Where the disks are: in a directory of this machine, or at these libvirts.
fn places(called: &[String], directory: &Path) -> String {
    match called.is_empty() {
        true => format!("in {}", directory.display()),
        false => format!("at {}", called.join(" and ")),
    }
}

fn ask(state: &State) -> Result<()> {
    let name = &state.record.names.cluster;
    let place = places(&state.record.places_called(), &disk::resolved(&state.directory));
    let what = format!("this removes the disks of {name} {place} with all of etcd's data; continue");
    confirm(&what, "nothing was removed")
}
