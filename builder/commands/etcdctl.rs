//! `kiln etcdctl`: etcdctl without a flag to remember.

use std::path::Path;

use super::output::Output;
use super::programs;
use crate::artifact;
use crate::bundle::Bundle;
use crate::cli;
use crate::disk::Scratch;
use crate::failure::{Exit, Failure, Result};
use crate::process::{Ended, Program};
use crate::verify::{self, Etcdctl};

pub fn run(args: &cli::Etcdctl, out: &Output) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    if let Some(unknown) = programs::check(&bundle, &[artifact::Program::Etcdctl], &args.trust)? {
        out.say(format_args!("note: {unknown}"));
    }
    let scratch = Scratch::swept("etcdctl")?;
    let etcdctl = Etcdctl::new(&bundle.path, &bundle.manifest, scratch.path())?;
    let client = |file: &str| Path::new(&bundle.path).join("client").join(file);
    // By variables, so that a flag on the command line has its way.
    let variables = [
        ("endpoints", "ETCDCTL_ENDPOINTS", verify::endpoints(&bundle.manifest)?.join(",").into()),
        ("cacert", "ETCDCTL_CACERT", client("ca.pem")),
        ("cert", "ETCDCTL_CERT", client("etcdctl.pem")),
        ("key", "ETCDCTL_KEY", client("etcdctl-key.pem")),
    ];
    let mut program = Program::new(etcdctl.program()).env("ETCDCTL_API", "3").args(&args.arguments);
    for (flag, variable, value) in variables {
        // etcdctl refuses to be told the same thing twice.
        let given = |argument: &String| {
            argument.strip_prefix("--").is_some_and(|rest| rest.split('=').next() == Some(flag))
        };
        if !args.arguments.iter().any(given) {
            program = program.env(variable, value);
        }
    }
    let ended = program.attached()?;
    match ended {
        Ended::Code(0) => Ok(()),
        ended => Err(Failure::new(Exit::Wrong, format!("etcdctl ended with {ended}"))),
    }
}
