//! `kiln rehearse`.

use std::time::Duration;

use super::junit;
use super::output::Output;
use super::programs;
use super::verify::{conclude, options};
use crate::artifact::EtcdProgram;
use crate::bundle::Bundle;
use crate::cli;
use crate::failure::Result;
use crate::rehearse::{self, Rehearsal};

pub fn run(args: &cli::Rehearse, out: &Output) -> Result<()> {
    if let Some(scratch) = &args.inside {
        return rehearse::inside(scratch);
    }
    // clap requires a bundle unless --inside is given.
    let Some(path) = &args.bundle else { return Ok(()) };
    junit::check(args.junit.as_deref())?;
    let bundle = Bundle::open(path)?;
    bundle.check_bytes()?;
    let unknown = programs::check(&bundle, &[EtcdProgram::Etcd, EtcdProgram::Etcdctl], &args.trust)?;
    let questions = options(&bundle)?;
    let rehearsal = Rehearsal {
        deadline: Duration::from_secs(args.deadline),
        quiet: out.is_quiet(),
        now: questions.now,
        stranger: questions.stranger,
    };
    let mut rehearsed = rehearse::rehearse(&bundle.path, &bundle.manifest, &rehearsal)?;
    rehearsed.report.notes.extend(unknown);
    if !args.keep {
        let report = rehearsed.stop()?;
        return conclude(&report, args.json, args.junit.as_deref(), out);
    }
    let concluded = conclude(&rehearsed.report, args.json, args.junit.as_deref(), out);
    out.say(format_args!("the cluster runs until Ctrl-C; a shell in its network:\n  {}", rehearsed.enter));
    rehearsed.hold()?;
    rehearsed.stop()?;
    out.say("the cluster was stopped and removed");
    concluded
}
