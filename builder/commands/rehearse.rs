//! `kiln rehearse`.

use std::time::Duration;

use super::junit;
use super::output::Output;
use super::programs;
use super::verify::{conclude, options};
use crate::artifact::EtcdProgram;
use crate::bundle::{Bundle, Kit};
use crate::cli;
use crate::clock;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::rehearse::{self, Rehearsal, Snapshot};

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
    if args.leaf_life.is_some() {
        check_life(&bundles)?;
    }
    let rehearsal = Rehearsal {
        deadline: Duration::from_secs(args.deadline),
        quiet: out.is_quiet(),
        now: clock::now(),
        strangers,
        snapshot: snapshot(args, &bundles)?,
        leaf_life: args.leaf_life,
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

/// What the members of the only bundle begin with.
///
/// # Errors
/// `Exit::Usage` where it is of another bundle.
fn snapshot(args: &cli::Rehearse, bundles: &[Bundle]) -> Result<Option<Snapshot>> {
    let Some(directory) = &args.restore else { return Ok(None) };
    let [bundle] = bundles else {
        return Err(Failure::new(Exit::Usage, "--restore: name one bundle"));
    };
    let kit = Kit::open(directory, bundle)?;
    let Some(part) = bundle.manifest.nodes.iter().find_map(|node| kit.node(&node.name)) else {
        return Ok(None);
    };
    let path =
        std::path::absolute(&part.snapshot).doing(|| format!("finding {}", part.snapshot.display()))?;
    Ok(Some(Snapshot { path, revision: part.revision }))
}

/// # Errors
/// `Exit::Usage` where no certificates can be renewed.
fn check_life(bundles: &[Bundle]) -> Result<()> {
    let refused = |reason: String| Err(Failure::new(Exit::Usage, format!("--leaf-life: {reason}")));
    let [bundle] = bundles else { return refused("name one bundle".to_owned()) };
    if !bundle.manifest.certificates.iter().any(|certificate| certificate.renewed.is_some()) {
        return refused(format!(
            "the nodes of {} do not renew their certificates; build it with renewal = \"node\" in [pki]",
            bundle.path.display()
        ));
    }
    match rustix::process::geteuid().is_root() {
        true => Ok(()),
        false => refused("only root can give etcd's account the certificates that a node makes".to_owned()),
    }
}
