//! `kiln rehearse`.

use std::time::Duration;

use super::junit;
use super::output::Output;
use super::programs;
use super::verify::{conclude, options};
use crate::artifact::EtcdProgram;
use crate::bundle::Bundle;
use crate::cli;
use crate::clock;
use crate::failure::Result;
use crate::rehearse::{self, Rehearsal};

pub fn run(args: &cli::Rehearse, out: &Output) -> Result<()> {
    if let Some(scratch) = &args.inside {
        return rehearse::inside(scratch);
    }
    junit::check(args.junit.as_deref())?;
    let (mut bundles, mut unknown, mut strangers) = (Vec::new(), Vec::new(), Vec::new());
    for path in &args.bundles {
        let bundle = Bundle::open(path)?;
        bundle.check_bytes()?;
        unknown.push(programs::check(&bundle, &[EtcdProgram::Etcd, EtcdProgram::Etcdctl], &args.trust)?);
        strangers.push(options(&bundle)?.stranger);
        bundles.push(bundle);
    }
    // clap requires a bundle unless --inside is given.
    if bundles.is_empty() {
        return Ok(());
    }
    let rehearsal = Rehearsal {
        deadline: Duration::from_secs(args.deadline),
        quiet: out.is_quiet(),
        now: clock::now(),
        strangers,
        snapshot: None,
    };
    let rehearsed = rehearse::rehearse(&bundles, &rehearsal);
    // Before a failure is reported: members of two bundles do not form one cluster.
    bundles.iter().try_for_each(Bundle::check_same)?;
    let mut rehearsed = rehearsed?;
    for (report, unknown) in rehearsed.reports.iter_mut().zip(unknown) {
        report.notes.extend(unknown);
    }
    if !args.keep {
        let reports = rehearsed.stop()?;
        return conclude(&reports, args.json, args.junit.as_deref(), out);
    }
    let concluded = conclude(&rehearsed.reports, args.json, args.junit.as_deref(), out);
    let what = if bundles.len() == 1 { "the cluster runs" } else { "the clusters run" };
    out.say(format_args!("{what} until Ctrl-C; a shell in its network:\n  {}", rehearsed.enter));
    rehearsed.hold()?;
    rehearsed.stop()?;
    let what = if bundles.len() == 1 { "the cluster was" } else { "the clusters were" };
    out.say(format_args!("{what} stopped and removed"));
    concluded
}
