//! `kiln build` under bad conditions, through the program: killed, interrupted, out of disk space, in parallel; and
//! where private keys end up.

mod inputs;
mod interrupted;
mod keys;
mod replaced;
mod reproducible;

use std::process::Command;

use crate::support::{SMALL, Workshop, store};

fn small() -> Workshop {
    let work = Workshop::new();
    work.file("small.toml", SMALL);
    work.keystore("small");
    work
}

fn build(work: &Workshop) -> Command {
    let mut command = work.kiln(["build", "--quiet", "--profile", "small.toml", "--artifacts"]);
    command.arg(store());
    command
}
