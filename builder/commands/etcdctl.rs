//! `kiln etcdctl`: etcdctl without a flag to remember.

use std::path::Path;

use crate::bundle::Bundle;
use crate::cli;
use crate::disk::Scratch;
use crate::failure::{Exit, Failure, Result};
use crate::process::{Ended, Program};
use crate::verify::{self, Etcdctl};

pub fn run(args: &cli::Etcdctl) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let scratch = Scratch::new("etcdctl")?;
    let etcdctl = Etcdctl::new(&bundle.path, &bundle.manifest, scratch.path())?;
    let client = |file: &str| Path::new(&bundle.path).join("client").join(file);
    // By variables, so that a flag on the command line has its way.
    let ended = Program::new(etcdctl.program())
        .env("ETCDCTL_API", "3")
        .env("ETCDCTL_ENDPOINTS", verify::endpoints(&bundle.manifest)?.join(","))
        .env("ETCDCTL_CACERT", client("ca.pem"))
        .env("ETCDCTL_CERT", client("etcdctl.pem"))
        .env("ETCDCTL_KEY", client("etcdctl-key.pem"))
        .args(&args.arguments)
        .attached()?;
    match ended {
        Ended::Code(0) => Ok(()),
        ended => Err(Failure::new(Exit::Wrong, format!("etcdctl ended with {ended}"))),
    }
}
